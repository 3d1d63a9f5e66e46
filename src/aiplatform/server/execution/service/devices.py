"""The GPUs of this machine as NVML reports them, with MIG instances one by one."""

from typing import Any

import structlog

from aiplatform.server.queue.rules import Device

log = structlog.get_logger(__name__)


def machine_devices() -> list[Device]:
    """Return a device for each GPU, or for each MIG instance of a divided GPU.

    The list is empty without the library or a driver. A GPU that does not answer is left out.
    """
    try:
        import pynvml  # noqa: PLC0415  (optional: only machines with NVIDIA GPUs have it)
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        count = int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return []
    found: list[Device] = []
    for place in range(count):
        try:
            found.extend(_devices_of(pynvml, place))
        except pynvml.NVMLError as error:
            log.warning("a GPU does not answer", gpu=place, error=str(error))
    return found


def _devices_of(nvml: Any, place: int) -> list[Device]:
    gpu = nvml.nvmlDeviceGetHandleByIndex(place)
    name = _text(nvml.nvmlDeviceGetName(gpu))
    try:
        divided = bool(nvml.nvmlDeviceGetMigMode(gpu)[0])
    except nvml.NVMLError:  # most GPUs have no MIG
        divided = False
    if not divided:
        # The uuid, because CUDA may number the GPUs in another order than NVML.
        return [Device(_text(nvml.nvmlDeviceGetUUID(gpu)), _memory_mb(nvml, gpu), name)]
    instances = []
    for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, number)
        except nvml.NVMLError:  # the count is a maximum
            continue
        identity = _text(nvml.nvmlDeviceGetUUID(instance))
        instances.append(Device(identity, _memory_mb(nvml, instance), name))
    return instances


def _memory_mb(nvml: Any, device: Any) -> int:
    return int(nvml.nvmlDeviceGetMemoryInfo(device).total) >> 20


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value

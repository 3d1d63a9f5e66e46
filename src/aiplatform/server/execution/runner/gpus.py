"""Samples of the GPUs of this machine, read by NVML. A value that a device lacks is left out."""

from collections.abc import Callable
from typing import Any

import structlog

log = structlog.get_logger(__name__)
SLOWED_DOWN = 0x08 | 0x20 | 0x40 | 0x80
"""Reasons for lower clocks that count as throttling: hardware slowdown, heat and the power brake.

A power cap that is set on purpose does not count.
"""


class Gpus:
    """The GPUs of this machine, by the ids that workers offer: uuids or indexes."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: dict[str, Any] = {}
        try:
            import pynvml  # noqa: PLC0415  (as in service.devices: it may be missing)
        except ImportError:
            return
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            log.info("no NVIDIA driver was found, so GPUs are not measured", error=str(error))
            return
        self._nvml = pynvml

    def read(self, device: str) -> dict[str, float]:
        """Return one sample of a device, with the values that it reports.

        The keys are ``percent``, ``memory_mb``, ``memory_mb_total``, ``power_w``, ``temperature_c``
        and ``throttled`` (0 or 1). A MIG instance has memory of its own; power, temperature and
        clocks are those of the whole GPU.
        """
        if self._nvml is None:
            return {}
        nvml = self._nvml
        try:
            handle = self._handle(device)
        except nvml.NVMLError:
            return {}
        whole = handle
        if device.startswith("MIG"):
            whole = self._told(lambda: nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle))
        found: dict[str, float] = {}

        def note(key: str, read: Callable[[], float]) -> None:
            value = self._told(read)
            if value is not None:
                found[key] = float(value)

        memory = self._told(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        if memory is not None:
            found["memory_mb"] = memory.used / (1 << 20)
            found["memory_mb_total"] = memory.total / (1 << 20)
        note("percent", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        if whole is not None:
            note("power_w", lambda: nvml.nvmlDeviceGetPowerUsage(whole) / 1000)
            note(
                "temperature_c",
                lambda: nvml.nvmlDeviceGetTemperature(whole, nvml.NVML_TEMPERATURE_GPU),
            )
            note("throttled", lambda: float(bool(self._reasons(whole) & SLOWED_DOWN)))
        return found

    def _reasons(self, handle: Any) -> int:
        nvml = self._nvml
        # The function was renamed in version 12 of the library.
        newer = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
        return int((newer or nvml.nvmlDeviceGetCurrentClocksThrottleReasons)(handle))

    def _handle(self, device: str) -> Any:
        if device not in self._handles:
            nvml = self._nvml
            self._handles[device] = (
                nvml.nvmlDeviceGetHandleByIndex(int(device))
                if device.isdigit()
                else nvml.nvmlDeviceGetHandleByUUID(device)
            )
        return self._handles[device]

    def _told(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except self._nvml.NVMLError:
            return None

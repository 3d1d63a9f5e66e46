"""The trainer for classifiers, and their held-out metrics."""

from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from aiplatform.runtime.labelled_texts import LabelledRows
from aiplatform.runtime.training.trainer import MeasuringTrainer


class ClassificationTrainer(MeasuringTrainer):
    """A trainer for encoded texts that have one label each, or several.

    Evaluations give all rows the same weight, and are abandoned on a stop request.
    """

    def __init__(
        self,
        *,
        held_out: LabelledRows | None,
        class_weights: list[float] | None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.held_out = held_out
        self.class_weights = class_weights
        # The loss is a mean over rows, so the trainer must divide it by the accumulated batches.
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: ARG002
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Any:
        """Return a batch's mean cross-entropy over rows, weighted by label if there are weights."""
        logits = scores(model, inputs)
        return row_losses(logits, inputs["labels"], self.class_weights).mean()

    def measure(self) -> dict[str, Any]:
        """Return all metrics on the held-out rows; empty if a stop was requested."""
        assert self.held_out is not None
        self.model.eval()
        logits, labels = [], []
        for batch in self.get_eval_dataloader():
            if self.report.stop.requested:
                break
            inputs = self._prepare_inputs(batch)
            with torch.no_grad(), self.compute_loss_context_manager():
                logits.append(scores(self.model, inputs).cpu())
            labels.append(inputs["labels"].cpu())
        self.model.train()
        if self.report.stop.requested:
            return {}
        return figures(torch.cat(logits), torch.cat(labels), self.held_out.names)


def scores(model: Any, inputs: dict[str, Any]) -> Any:
    """Return the logits of all labels for each text, of shape (rows, labels)."""
    outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    return outputs.logits.float()


def row_losses(logits: Any, labels: Any, weights: list[float] | None = None) -> Any:
    """Return the loss of each row: cross-entropy, or its mean over labels if there are several."""
    if labels.dim() == 2:
        return binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)
    losses = cross_entropy(logits, labels, reduction="none")
    return losses if weights is None else losses * losses.new_tensor(weights)[labels]


def figures(logits: Any, labels: Any, names: list[str]) -> dict[str, Any]:
    """Return the loss, accuracy, macro F1, metrics per label, and confusion matrix.

    If rows have several labels, the accuracy is the share of rows for which exactly the right
    labels are predicted, and there is no confusion matrix. Otherwise the matrix has a row for
    each right label and a column for each predicted label. Labels that neither occur nor are
    predicted don't count in the macro F1.
    """
    several = labels.dim() == 2
    size = len(names)
    found: dict[str, Any] = {"eval_loss": row_losses(logits, labels).mean().item()}
    if several:
        right, said = labels.bool(), logits > 0
    else:
        predicted = logits.argmax(dim=1)
        right, said = (torch.eye(size)[each].bool() for each in (labels, predicted))
        pairs = torch.bincount(labels * size + predicted, minlength=size * size)
        found["confusion"] = pairs.reshape(size, size).tolist()
    found["eval_accuracy"] = (right == said).all(dim=1).float().mean().item()
    hits, occurs, claimed = (each.sum(dim=0) for each in (right & said, right, said))
    classes: list[dict[str, Any]] = [
        {
            "label": name,
            "rows": int(occurs[i]),
            "precision": float(hits[i] / claimed[i]) if claimed[i] else 0.0,
            "recall": float(hits[i] / occurs[i]) if occurs[i] else 0.0,
            "f1": float(2 * hits[i] / (occurs[i] + claimed[i])) if occurs[i] + claimed[i] else 0.0,
        }
        for i, name in enumerate(names)
    ]
    counted = [one["f1"] for i, one in enumerate(classes) if occurs[i] + claimed[i]]
    return found | {"eval_macro_f1": sum(counted) / len(counted), "classes": classes}


def collate(rows: list[dict[str, Any]], pad: int, labels: int, *, several: bool) -> dict[str, Any]:
    """Return a right-padded batch; ``labels`` is the number of labels.

    The batch has one label per row or, with ``several``, a vector of zeros and ones per row.
    """
    length = max(len(row["input_ids"]) for row in rows)
    input_ids = torch.full((len(rows), length), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for index, row in enumerate(rows):
        end = len(row["input_ids"])
        input_ids[index, :end] = torch.as_tensor(row["input_ids"])
        mask[index, :end] = 1
    if several:
        right = torch.zeros((len(rows), labels))
        for index, row in enumerate(rows):
            right[index, list(row["labels"])] = 1
    else:
        right = torch.tensor([row["labels"][0] for row in rows])
    return {"input_ids": input_ids, "attention_mask": mask, "labels": right}

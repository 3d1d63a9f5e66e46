"""The trainer for embeddings, and its held-out metrics."""

from typing import Any

import torch
from sentence_transformers.sentence_transformer.losses import (
    CoSENTLoss,
    MultipleNegativesRankingLoss,
)
from torch.nn.functional import normalize

from aiplatform.runtime.embedding_rows import EmbeddingRows
from aiplatform.runtime.training.trainer import MeasuringTrainer

CUTOFF = 10
"""The number of top results that recall and nDCG consider."""

QUERIES_AT_ONCE = 512


class EmbeddingTrainer(MeasuringTrainer):
    """A trainer on pairs, triplets or scored pairs, with the losses of sentence-transformers."""

    def __init__(
        self, *, held_out: EmbeddingRows | None, pooling: str, scale: float, **options: Any
    ) -> None:
        super().__init__(**options)
        self.held_out = held_out
        self.pooling = pooling
        # The losses are given the vectors, so they need no model.
        self.ranking = MultipleNegativesRankingLoss(torch.nn.Identity(), scale=scale)
        self.ordering = CoSENTLoss(torch.nn.Identity(), scale=scale)
        # The loss is a mean over rows, so the trainer must divide it by the accumulated batches.
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: ARG002
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Any:
        """Return the ranking loss for pairs and triplets, or the CoSENT loss for scored pairs."""
        columns = list(vectors(model, inputs, self.pooling).split(inputs["rows"].tolist()))
        if "labels" in inputs:
            return self.ordering.compute_loss_from_embeddings(columns, inputs["labels"])
        return self.ranking.compute_loss_from_embeddings(columns, None)

    def measure(self) -> dict[str, Any]:
        """Return all figures on the held-out rows; empty if a stop was requested."""
        assert self.held_out is not None
        self.model.eval()
        total, rows = 0.0, 0
        columns: list[list[Any]] = []
        for batch in self.get_eval_dataloader():
            if self.report.stop.requested:
                break
            inputs = self._prepare_inputs(batch)
            with torch.no_grad(), self.compute_loss_context_manager():
                found = vectors(self.model, inputs, self.pooling)
                parts = found.split(inputs["rows"].tolist())
                if "labels" in inputs:
                    loss = self.ordering.compute_loss_from_embeddings(list(parts), inputs["labels"])
                else:
                    loss = self.ranking.compute_loss_from_embeddings(list(parts), None)
            count = len(parts[0])
            total, rows = total + count * loss.item(), rows + count
            columns.append([part.cpu() for part in parts])
        self.model.train()
        if self.report.stop.requested:
            return {}
        embedded = [torch.cat(parts) for parts in zip(*columns, strict=True)]
        measured = {"eval_loss": total / rows}
        if self.held_out.scored:
            scores = [row.score or 0.0 for row in self.held_out.rows]
            return measured | {"eval_spearman": rank_correlation(embedded, scores)}
        texts = [[tuple(row.texts[i]) for row in self.held_out.rows] for i in range(len(embedded))]
        return measured | retrieval_figures(texts, embedded)


def vectors(model: Any, inputs: dict[str, Any], pooling: str) -> Any:
    """Return a unit vector for each text, in fp32; the shape is (texts, width)."""
    mask = inputs["attention_mask"]
    hidden = model(input_ids=inputs["input_ids"], attention_mask=mask).last_hidden_state.float()
    if pooling == "cls":
        return normalize(hidden[:, 0], dim=-1)
    weights = mask.unsqueeze(-1).float()
    return normalize((hidden * weights).sum(dim=1) / weights.sum(dim=1), dim=-1)


def rank_correlation(embedded: list[Any], scores: list[float]) -> float:
    """Return Spearman's correlation of the similarities of pairs with their scores."""
    from scipy.stats import spearmanr

    similarities = (embedded[0] * embedded[1]).sum(dim=1)
    return float(spearmanr(similarities.numpy(), scores).statistic)


def retrieval_figures(texts: list[list[Any]], embedded: list[Any]) -> dict[str, float]:
    """Return the metrics of a search that uses each anchor as a query for its positives.

    The search covers all distinct positives and negatives. An anchor that occurs in several rows is
    a single query with several right results.

    Args:
        texts: anchors, positives and, if there are any, negatives; compared only for equality.
        embedded: the vectors of ``texts``.

    Returns:
        ``eval_recall_at_1`` and ``eval_recall_at_10``: the mean share of right results that are
        among the first 1 or 10; ``eval_mrr``: the mean inverse rank of the first right result;
        ``eval_ndcg_at_10``.
    """
    anchors, *others = texts
    places: dict[Any, int] = {}
    candidates = []
    for column, found in zip(others, embedded[1:], strict=True):
        for text, vector in zip(column, found, strict=True):
            if text not in places:
                places[text] = len(places)
                candidates.append(vector)
    right: dict[Any, set[int]] = {}
    queries: dict[Any, Any] = {}
    for anchor, positive, vector in zip(anchors, others[0], embedded[0], strict=True):
        right.setdefault(anchor, set()).add(places[positive])
        queries.setdefault(anchor, vector)
    pool = torch.stack(candidates)
    sums = dict.fromkeys(
        ("eval_recall_at_1", f"eval_recall_at_{CUTOFF}", "eval_mrr", f"eval_ndcg_at_{CUTOFF}"), 0.0
    )
    wanted = list(queries)
    for start in range(0, len(wanted), QUERIES_AT_ONCE):
        part = wanted[start : start + QUERIES_AT_ONCE]
        order = (torch.stack([queries[one] for one in part]) @ pool.T).argsort(
            dim=1, descending=True, stable=True
        )
        for anchor, results in zip(part, order, strict=True):
            is_right = torch.isin(results, torch.tensor(sorted(right[anchor]))).double()
            count = len(right[anchor])
            discounts = 1 / torch.log2(torch.arange(2, CUTOFF + 2).double())
            first = is_right[:CUTOFF]
            ideal = discounts[: min(count, CUTOFF)].sum()
            sums["eval_recall_at_1"] += is_right[0].item() / count
            sums[f"eval_recall_at_{CUTOFF}"] += first.sum().item() / count
            sums["eval_mrr"] += 1 / (is_right.argmax().item() + 1)
            gain = (first * discounts[: len(first)]).sum() / ideal
            sums[f"eval_ndcg_at_{CUTOFF}"] += gain.item()
    return {name: total / len(wanted) for name, total in sums.items()}


def collate(rows: list[dict[str, Any]], pad: int) -> dict[str, Any]:
    """Return a right-padded batch: the first text of every row, then the second text, and so on.

    ``rows`` in the batch contains the number of texts in each column.
    """
    columns = list(zip(*(row["texts"] for row in rows), strict=True))
    texts = [text for column in columns for text in column]
    length = max(len(text) for text in texts)
    input_ids = torch.full((len(texts), length), pad, dtype=torch.long)
    mask = torch.zeros((len(texts), length), dtype=torch.long)
    for index, text in enumerate(texts):
        input_ids[index, : len(text)] = torch.as_tensor(text)
        mask[index, : len(text)] = 1
    batch = {
        "input_ids": input_ids,
        "attention_mask": mask,
        "rows": torch.tensor([len(rows)] * len(columns)),
    }
    if rows[0]["score"] is not None:
        batch["labels"] = torch.tensor([row["score"] for row in rows])
    return batch

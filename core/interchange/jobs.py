"""Sources on their way in as JSON. Neuronpedia has no such thing; models and sources are named as it does."""

from __future__ import annotations

from typing import Any

from core.bring.records import Imported, JobRecord, Look, ModelFound, Plan, Progress, Published, Tried

Json = dict[str, Any]


def record(job: JobRecord) -> Json:
    """A whole job."""
    return {
        "id": job.id,
        "made": job.made,
        "by": job.by or None,
        "state": job.state,
        "step": job.step,
        "before": job.before,
        "message": job.message or None,
        "progress": progress(job.progress) if job.progress else None,
        "found": look(job.look),
        "plan": plan(job.plan),
        "config": job.config or None,
        "tried": tried(job.tried) if job.tried else None,
        "sources": list(job.sources),
        "imported": [imported(one) for one in job.imported],
        "findings": list(job.findings),
    }


def imported(one: Imported) -> Json:
    """What an import brought of one source."""
    return {
        "source": one.key, "format": one.format, "features": one.features, "activations": one.activations,
        "explanations": one.explanations, "leftOut": one.left_out, "findings": list(one.findings),
        "needsWeights": list(one.needs_weights),
    }  # fmt: skip


def progress(one: Progress) -> Json:
    """How far a step is."""
    return {
        "step": one.step, "what": one.what, "done": one.done, "of": one.of, "part": one.part, "rate": one.rate,
        "secondsLeft": one.left, "seconds": one.seconds,
    }  # fmt: skip


def look(one: Look) -> Json:
    """What was found at a place."""
    place = {name: getattr(one.place, name) for name in ("release", "hub", "folder", "revision", "path")}
    return {
        "where": one.place.where, **{name: value for name, value in place.items() if value},
        **({"saeId": one.place.sae_id} if one.place.sae_id else {}),
        "kind": one.kind, "architecture": one.architecture, "hook": one.hook or None, "hookOut": one.hook_out or None,
        "layer": one.layer, "width": one.width, "dIn": one.d_in, "context": one.context, "prependBos": one.bos,
        "dtype": one.dtype or None, "normalizeActivations": one.normalisation or None,
        "dataset": one.trained_on or None, "model": model(one.model) if one.model else None, "bytes": one.bytes,
        "here": one.here, "published": published(one.published), "sourceId": one.source_id, "notes": list(one.notes),
        "export": {
            "format": one.export.format, "sources": list(one.export.sources), "named": one.export.named,
        } if one.export else None,
    }  # fmt: skip


def model(one: ModelFound) -> Json:
    """The model that an SAE says it belongs to."""
    return {
        "modelId": one.id, "said": one.said, "transformerLens": one.transformer_lens or None, "hub": one.hub or None,
        "path": one.path or None, "revision": one.revision or None, "here": one.here, "bytes": one.bytes,
        "built": one.built,
    }  # fmt: skip


def plan(one: Plan) -> Json:
    """How it is to be built."""
    return {
        "sourceId": one.source_id, "model": one.model, "prompts": one.prompts, "context": one.context,
        "hook": one.hook or None, "bos": one.bos, "store": one.store, "as": one.as_, "only": list(one.only),
        "leaveOut": one.leave_out,
        "texts": {
            "what": one.texts.what, "path": one.texts.path, "hub": one.texts.hub, "name": one.texts.name,
            "split": one.texts.split, "column": one.texts.column,
        },
    }  # fmt: skip


def tried(one: Tried) -> Json:
    """What a few prompts say."""
    return {
        "source": one.source, "verdict": one.verdict, "said": list(one.said), "tokens": one.tokens, "width": one.width,
        "l0": one.l0, "explained_variance": one.explained_variance, "ce_loss_score": one.ce_loss_score,
        "ce_loss": one.ce_loss, "ce_loss_spliced": one.ce_loss_spliced, "ce_loss_zero": one.ce_loss_zero,
        "published": published(one.published),
    }  # fmt: skip


def published(one: Published) -> Json | None:
    """Figures that came with it."""
    if not one:
        return None
    return {
        "l0": one.l0, "explained_variance": one.explained_variance, "ce_loss_score": one.ce_loss_score, "by": one.by,
    }  # fmt: skip

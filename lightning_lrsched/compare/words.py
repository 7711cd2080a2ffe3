"""What a metric's name says of its direction, word by word."""

import re
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["min", "max"]

_ERRORS = """
    absrel ade asd assd bce bpb bpc bpd brier ce cer chamfer cost crossentropy crps der deviance dist distance
    divergence ece eer emd entropy epe err errors far fde fid fnr fpr frr hamming hausdorff hd hinge kid kl kld l1
    l2 losses lpips mad mae mape mase mcd medae mpjpe mre mse msle niqe nll nmae nmse nrmse perceptual perplexity
    pinball ppl regret residual rmse rmsle rse sad sce smape sqrel ter wape wasserstein wer wmape
"""
_SCORES = """
    acc ami ap ari auc aupr auprc auroc bleu ccc chrf cider completeness concordance corr correlation coverage csi
    dcg dice exact explained f1 f2 fbeta gini gmean hit hits homogeneity hss iou jaccard kappa kendall kendalltau
    kge map matthews mauve mcc meteor miou mos mrr msssim ndcg nmi npv nse pck pckh pearson pesq ppv prauc psnr
    purity quality r2 reward rewards rocauc rouge sdr sensitivity signal silhouette similarity sisdr sisnr snr
    spearman specificity spice ssim stoi success tnr top topk tpr tss vif youden
"""
_LOWER, _HIGHER = frozenset(_ERRORS.split()), frozenset(_SCORES.split())
_LOWER_ENDS = ("loss", "error", "rmse", "perplexity")
_HIGHER_ENDS = ("accuracy", "score", "precision", "recall", "auroc")
_SPLIT = re.compile(r"[^0-9A-Za-z]+")
_HUMP = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")
_STAGE = re.compile(r"^(?:validation|valid|val|test|train|eval)(?=.)")


def known_mode(metric: str) -> Mode | None:
    """Return the direction that a metric's name says; None if it has no word that is known.

    A word of an error wins over one of a score: ``map_error`` is an error.

    >>> known_mode("val_acc"), known_mode("val_heatmap_mse"), known_mode("val/MulticlassF1Score"), known_mode("val_x")
    ('max', 'min', 'max', None)
    """
    words = _words(metric)
    if any(word in _LOWER or word.endswith(_LOWER_ENDS) for word in words):
        return "min"
    return "max" if any(word in _HIGHER or word.endswith(_HIGHER_ENDS) for word in words) else None


def _words(metric: str) -> set[str]:
    """Return the words of a name: its parts, the humps of each, and both without the digits at their ends."""
    parts = _SPLIT.split(metric)
    humps = [hump for part in parts for hump in _HUMP.findall(part.replace("IoU", "Iou"))]
    words = {_STAGE.sub("", word.lower()) for word in (*parts, *humps)}
    return words | {word.rstrip("0123456789") for word in words}

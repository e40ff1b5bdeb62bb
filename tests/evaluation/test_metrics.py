"""Numbers of a classifier against scikit-learn, torchmetrics and their definitions one drawing at a time."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, log_loss, top_k_accuracy_score
from torchmetrics.functional import classification as torchmetrics

from deepdraw.evaluation.calibration import calibration_error
from deepdraw.evaluation.metrics import Counts, chance
from deepdraw.evaluation.scores import Scores, true_ranks

torch.set_num_threads(1)


def count(logits: torch.Tensor, labels: torch.Tensor, batch_size: int = 32, temperature: float | None = None) -> Scores:
    scores = Scores(list(map(str, range(logits.shape[1]))), temperature)
    for batch in zip(logits.split(batch_size), labels.split(batch_size), strict=True):
        scores.add(*batch, torch.arange(len(batch[1])))
    return scores


def counted(scores: Scores) -> Counts:
    return Counts.of(scores.predictions())


def score(logits: torch.Tensor, labels: torch.Tensor, batch_size: int = 32, **options) -> dict[str, float]:
    scores = count(logits, labels, batch_size, **options)
    return scores.metrics(counted(scores))


def random_logits(num_drawings: int, num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(num_drawings, num_classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(num_classes, (num_drawings,), generator=generator)
    logits[torch.arange(num_drawings), labels] += 2
    return logits, labels


@pytest.mark.parametrize("num_classes", [7, 345])
def test_accuracies_and_loss_are_scikit_learns(num_classes):
    logits, labels = random_logits(5000, num_classes)
    result = score(logits, labels)
    classes = np.arange(num_classes)
    assert result["top1"] == pytest.approx(top_k_accuracy_score(labels, logits, k=1, labels=classes))
    assert result["top5"] == pytest.approx(top_k_accuracy_score(labels, logits, k=5, labels=classes))
    top10 = top_k_accuracy_score(labels, logits, k=10, labels=classes) if num_classes > 10 else 1.0
    assert result["top10"] == pytest.approx(top10)
    assert result["macro_f1"] == pytest.approx(f1_score(labels, logits.argmax(dim=1), average="macro", zero_division=0))
    assert result["mean_class_accuracy"] == pytest.approx(balanced_accuracy_score(labels, logits.argmax(dim=1)))
    assert result["loss"] == pytest.approx(log_loss(labels, logits.softmax(dim=1), labels=classes))


@pytest.mark.parametrize("num_classes", [2, 7, 345])
def test_all_that_torchmetrics_has_is_torchmetrics(num_classes):
    logits, labels = random_logits(3000, num_classes)
    result = score(logits, labels)
    accuracy = {f"top{k}": {"average": "micro", "top_k": k} for k in (1, 5, 10) if k <= num_classes}
    accuracy["mean_class_accuracy"] = {"average": "macro"}
    for name, how in accuracy.items():
        expected = torchmetrics.multiclass_accuracy(logits, labels, num_classes, **how)
        assert result[name] == pytest.approx(expected.item(), abs=1e-6)
    f1 = torchmetrics.multiclass_f1_score(logits, labels, num_classes)
    assert result["macro_f1"] == pytest.approx(f1.item(), abs=1e-6)
    error = torchmetrics.multiclass_calibration_error(logits, labels, num_classes)
    assert result["ece"] == pytest.approx(error.item(), abs=1e-6)


def test_the_confusion_matrix_has_true_classes_in_rows_and_the_first_of_ties_in_columns():
    labels = torch.randint(6, (500,), generator=torch.Generator().manual_seed(1))
    logits = torch.randint(3, (500, 6), generator=torch.Generator().manual_seed(0)).float()
    expected = confusion_matrix(labels, logits.numpy().argmax(axis=1), labels=np.arange(6))
    np.testing.assert_array_equal(counted(count(logits, labels)).confusion, expected)


@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=15))
@settings(deadline=None)
def test_f1_is_the_mean_over_classes_true_or_predicted_and_accuracy_over_those_true(num_classes, pairs):
    labels, predicted = (torch.tensor(side) % num_classes for side in zip(*pairs, strict=True))
    result = score(torch.nn.functional.one_hot(predicted, num_classes).float(), labels)
    assert result["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0))
    correct = (labels == predicted).double()
    assert result["mean_class_accuracy"] == pytest.approx(
        np.mean([correct[labels == c].mean() for c in labels.unique()])
    )


def test_of_one_class_alone_all_is_known():
    result = score(torch.randn(20, 1), torch.zeros(20, dtype=torch.int64))
    assert result == dict.fromkeys(result, 1.0) | {"loss": 0.0, "ece": 0.0}


def test_a_temperature_scales_loss_and_calibration_and_leaves_the_rest():
    logits, labels = random_logits(1000, 12)
    plain, scaled = score(logits, labels), score(logits, labels, temperature=1.7)
    divided = score(logits / 1.7, labels)
    assert scaled == plain | {
        "loss_scaled": pytest.approx(divided["loss"], abs=1e-12),
        "ece_scaled": pytest.approx(divided["ece"], abs=1e-12),
    }


def test_classes_without_drawings_do_not_enter_the_mean_class_accuracy():
    logits, labels = random_logits(200, 10)
    labels = labels % 4
    assert score(logits, labels)["mean_class_accuracy"] == pytest.approx(
        np.mean([(logits[labels == c].argmax(dim=1) == c).double().mean() for c in range(4)])
    )


logits_with_ties = st.integers(1, 8).flatmap(
    lambda num_classes: st.lists(
        st.tuples(
            st.lists(st.integers(-2, 2), min_size=num_classes, max_size=num_classes),
            st.integers(0, num_classes - 1),
        ),
        min_size=1,
        max_size=20,
    )
)


@given(logits_with_ties)
@settings(deadline=None)
def test_among_equal_logits_the_smaller_index_is_ahead(rows):
    average_precision = []
    top1, top5 = [], []
    for logits, label in rows:
        ranking = sorted(range(len(logits)), key=lambda c: (-logits[c], c))
        place = ranking.index(label) + 1
        average_precision.append(1 / place if place <= 3 else 0)
        top1.append(place == 1)
        top5.append(label in ranking[:5])
    result = score(torch.tensor([logits for logits, _ in rows]).float(), torch.tensor([label for _, label in rows]))
    assert result["top1"] == pytest.approx(np.mean(top1))
    assert result["top5"] == pytest.approx(np.mean(top5))
    assert result["map3"] == pytest.approx(np.mean(average_precision))


def test_rank_zero_is_where_argmax_points():
    logits = torch.randint(3, (500, 6), generator=torch.Generator().manual_seed(0)).float()
    assert (true_ranks(logits, logits.argmax(dim=1)) == 0).all()


def test_map3_gives_a_half_for_the_second_and_a_third_for_the_third_place():
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0]]).expand(4, 4)
    assert score(logits, torch.arange(4))["map3"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)


def test_top5_of_fewer_than_five_classes_is_one():
    assert score(*random_logits(50, 4))["top5"] == 1.0


def test_the_batches_do_not_matter():
    logits, labels = random_logits(100, 12)
    assert score(logits, labels, batch_size=1) == pytest.approx(score(logits, labels, batch_size=100))


def test_half_precision_logits_have_a_single_precision_loss():
    logits, labels = random_logits(500, 20)
    logits = logits.bfloat16()
    assert score(logits, labels)["loss"] == pytest.approx(score(logits.double(), labels)["loss"], rel=1e-6)


def test_the_sums_of_two_processes_add_up():
    logits, labels = random_logits(100, 12)
    first, second = (count(*half, temperature=2.0) for half in zip(logits.split(50), labels.split(50), strict=True))
    add = lambda tensors: [own + other for own, other in zip(tensors, second.sums(), strict=True)]  # noqa: E731
    first.merge(SimpleNamespace(gather=lambda own: [own, second._batches], sum=add))
    assert first.metrics(counted(first)) == pytest.approx(score(logits, labels, temperature=2.0))


def test_the_sums_do_not_grow_with_the_drawings():
    logits, labels = random_logits(300, 12)
    sizes = [[tensor.shape for tensor in count(logits[:n], labels[:n]).sums()] for n in (10, 300)]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_logits_are_refused_and_counted(value):
    logits, labels = random_logits(10, 6)
    logits[3, 2] = value
    with pytest.raises(ValueError, match="1 of 10 drawings have NaN or infinite logits"):
        score(logits, labels)


def test_an_empty_split_has_no_score():
    with pytest.raises(ValueError, match="the split is empty"):
        Scores(list("abc")).predictions()


def test_adding_never_waits_for_the_device():
    # A meta tensor holds no values: whatever asked for one, as a wait for the device would, raises.
    scores = Scores(list("abcde"), temperature=2.0)
    labels = torch.zeros(8, dtype=torch.int64, device="meta")
    scores.add(torch.zeros(8, 5, device="meta"), labels, labels)
    assert all(tensor.is_meta for tensor in scores.sums())


def test_calibration_counts_by_drawing_what_it_counts_by_batch():
    # The confidences of a bin are of about one size, so their sums in double precision are exact, in any order.
    logits, labels = random_logits(5000, 345)
    scores = count(logits.float(), labels, batch_size=64)
    sums = torch.zeros(3, 16, dtype=torch.float64)
    for part, true in zip(logits.float().flip(0).split(100), labels.flip(0).split(100), strict=True):
        confidences, predicted = part.softmax(dim=1).max(dim=1)
        bins = torch.bucketize(confidences, torch.linspace(0, 1, 16), right=True) - 1
        rows = torch.stack([torch.ones_like(confidences), confidences, (predicted == true).float()])
        sums.index_add_(1, bins, rows.double())
    assert counted(scores).calibration_error() == calibration_error(sums)


def test_chance_is_one_in_the_number_of_classes():
    assert chance(70) == pytest.approx(1 / 70)

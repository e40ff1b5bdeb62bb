"""The sweeper `hydra/sweeper=optuna`: what it asks Optuna for, tells it, and does with failed jobs and old studies."""

from __future__ import annotations

import pytest
import yaml
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from hydra_plugins.deepdraw_optuna import OptunaSweeper, search_space

optuna = pytest.importorskip("optuna")
distributions = optuna.distributions

OPTIONS = {"direction": None, "n_trials": 6, "n_jobs": 2, "max_failure_rate": 0.0, "storage": None, "study_name": None}


class Failed(Exception):
    pass


class Launcher:
    """Runs jobs in this process: each returns -(x - 3)^2 for its override x=..., or fails if `fails` says so."""

    def __init__(self, fails=lambda number: False, result=lambda x: -((x - 3) ** 2)):
        self.batches, self.numbers, self.fails, self.result = [], [], fails, result

    def launch(self, batch, initial_job_idx):
        self.batches.append([list(words) for words in batch])
        returned = []
        for number, words in enumerate(batch, initial_job_idx):
            self.numbers.append(number)
            x = float(dict(word.split("=") for word in words)["x"])
            job = JobReturn(overrides=words, status=JobStatus.COMPLETED)
            job.return_value = self.result(x)
            if self.fails(number):
                job.status, job.return_value = JobStatus.FAILED, Failed(f"job {number}")
            returned.append(job)
        return returned

    @property
    def values(self):
        return [words[-1] for batch in self.batches for words in batch]


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Run a search for x by a launcher, in a directory of its own."""

    def run(launcher, *words, seed=0, objective="val/top1", **options):
        monkeypatch.setattr(Plugins.instance(), "instantiate_launcher", lambda **_: launcher)
        config = {"hydra": {"launcher": {"objective": objective}, "sweep": {"dir": str(tmp_path)}}}
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=3)
        sweeper = OptunaSweeper(sampler, OmegaConf.create({"x": "interval(0, 10)"}), **OPTIONS | options)
        sweeper.setup(hydra_context=None, task_function=None, config=OmegaConf.create(config))
        sweeper.sweep(list(words))
        return yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())

    return run


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("x=1,2,a", distributions.CategoricalDistribution(["1", "2", "a"])),
        ("x=choice(true,false)", distributions.CategoricalDistribution(["True", "False"])),
        ("x='a,b',c", distributions.CategoricalDistribution(["'a,b'", "c"])),
        ("x=range(1,4)", distributions.IntDistribution(1, 3)),
        ("x=range(0,10,4)", distributions.IntDistribution(0, 8, step=4)),
        ("x=range(9,0,-3)", distributions.IntDistribution(3, 9, step=3)),
        ("x=range(0.1,0.5,0.1)", distributions.FloatDistribution(0.1, 0.4, step=0.1)),
        ("x=range(1,2)", distributions.CategoricalDistribution(["1"])),
        ("x=shuffle(range(1,3))", distributions.CategoricalDistribution(["1", "2"])),
        ("x=interval(1,2)", distributions.FloatDistribution(1.0, 2.0)),
        ("x=int(interval(1,2))", distributions.IntDistribution(1, 2)),
        ("x=tag(log,interval(1e-5,1))", distributions.FloatDistribution(1e-5, 1.0, log=True)),
        ("x=tag(log,int(interval(1,64)))", distributions.IntDistribution(1, 64, log=True)),
    ],
)
def test_the_words_of_a_sweep_say_what_is_searched(word, expected):
    fixed, space = search_space(["y=1", word])
    assert fixed == ["y=1"]
    if "shuffle" in word:
        assert sorted(space["x"].choices) == sorted(expected.choices)
    else:
        assert space == {"x": expected}


def test_the_last_word_for_a_key_counts():
    assert search_space(["x=1,2", "+y=range(1,5)", "x=7"]) == (["x=7"], {"+y": distributions.IntDistribution(1, 4)})


def test_jobs_come_in_batches_numbered_through_with_the_fixed_overrides(search):
    launcher = Launcher()
    search(launcher, "y=2", n_trials=5, n_jobs=2)
    assert [len(batch) for batch in launcher.batches] == [2, 2, 1]
    assert launcher.numbers == [0, 1, 2, 3, 4]
    assert all(words[0] == "y=2" and words[1].startswith("x=") for batch in launcher.batches for words in batch)


@pytest.mark.parametrize(("objective", "best"), [("val/top1", max), ("val/loss", min)])
def test_the_direction_is_that_in_which_the_objective_gets_better(search, objective, best):
    launcher = Launcher(result=lambda x: x)
    found = search(launcher, objective=objective)
    assert found["best_value"] == best(float(word.removeprefix("x=")) for word in launcher.values)
    assert found["best_params"] == {"x": found["best_value"]}


def test_results_guide_the_search(search):
    launcher = Launcher()
    found = search(launcher, n_trials=40)
    assert abs(found["best_params"]["x"] - 3) < 0.3
    late = [float(word.removeprefix("x=")) for word in launcher.values[-10:]]
    assert sum(abs(x - 3) < 2 for x in late) >= 6


def test_the_same_seed_and_results_give_the_same_jobs(search):
    same, again, other = Launcher(), Launcher(), Launcher()
    for launcher, seed in ((same, 1), (again, 1), (other, 2)):
        search(launcher, seed=seed)
    assert same.values == again.values
    assert same.values != other.values


def test_failed_jobs_end_the_search_only_beyond_the_rate(search):
    search(Launcher(lambda number: number % 2 == 0), max_failure_rate=0.5)
    launcher = Launcher(lambda number: number in (2, 3))
    with pytest.raises(Failed, match="job 2"):
        search(launcher, max_failure_rate=0.5)
    assert launcher.numbers == [0, 1, 2, 3]


def test_a_result_that_is_no_number_counts_as_a_failure(search):
    for value in (float("nan"), None, "high"):
        with pytest.raises(SystemExit, match="2 of 2 jobs returned no finite number"):
            search(Launcher(result=lambda x, value=value: value))


def test_a_study_that_was_interrupted_goes_on_from_its_storage(search, tmp_path):
    study = {"storage": f"sqlite:///{tmp_path}/study.db", "study_name": "lr"}
    with pytest.raises(Failed):
        search(Launcher(lambda number: number == 3), n_trials=6, **study)
    optuna.load_study(study_name="lr", storage=study["storage"]).ask()  # as a killed search leaves it
    launcher = Launcher()
    search(launcher, n_trials=6, **study)
    assert launcher.numbers == [0, 1, 2]  # three jobs had completed
    states = [trial.state.name for trial in optuna.load_study(study_name="lr", storage=study["storage"]).trials]
    assert (states.count("COMPLETE"), states.count("FAIL"), states.count("RUNNING")) == (6, 2, 0)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"n_jobs": 0}, "hydra.sweeper.n_jobs=0 must be at least 1"),
        ({"n_trials": 0}, "hydra.sweeper.n_trials=0 must be at least 1"),
        ({"max_failure_rate": 1.5}, "max_failure_rate=1.5 must be from 0 to 1"),
        ({"direction": "up"}, "direction=up must be minimize or maximize"),
    ],
)
def test_options_without_meaning_are_refused_in_one_line(search, options, line):
    with pytest.raises(SystemExit, match=line):
        search(Launcher(), **options)


def test_without_anything_to_choose_one_line_says_what_to_give(search):
    with pytest.raises(SystemExit, match="nothing to choose: give an interval"):
        search(Launcher(), "x=1")

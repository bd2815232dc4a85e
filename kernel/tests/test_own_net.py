"""A net of the user's own in the crate `tch` has what a described net has: curves, phases, a record, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from driver import Kernel

NET = """
use tch::nn::{self, Module};
#[derive(Debug)]
struct Small { conv: nn::Conv2D, out: nn::Linear }
impl nn::Module for Small {
    fn forward(&self, x: &Tensor) -> Tensor {
        x.apply(&self.conv).relu().adaptive_avg_pool2d([4, 4]).flat_view().apply(&self.out)
    }
}
fn small(vs: &nn::Path<'_>) -> Small {
    let conv = nn::ConvConfig { padding: 1, ..Default::default() };
    Small { conv: nn::conv2d(vs / "conv", 3, 8, 3, conv), out: nn::linear(vs / "out", 8 * 16, 2, Default::default()) }
}
"""


@pytest.fixture(scope="module")
def images(draw: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("images") / "drawings", 16, 8, 4)


def test_a_type_with_a_forward_pass_trains_with_curves_phases_and_a_record(kernel: Kernel, images: Path, tmp_path: Path) -> None:
    kernel.good(NET)
    kernel.good(
        f"""
        let build = Build {{ device: Some(Device::Cpu), ..Build::default() }};
        let fit = Fit {{ epochs: 2, batch_size: 8, ..Fit::default() }};
        let mut run = Run::new("small");
        let net = TchNet::new("small", [3, 32, 32], small);
        let (data, _) = run.load("{images}", &net, &build, &fit)?;
        let mut model = run.build(&net, &data, build.clone())?;
        """
    )
    trained = kernel.good("run.train(&mut model, &data, fit.clone())?;")
    shown = [bundle["data"].get("text/html", "") for bundle in trained.of("display_data", "update_display_data")]
    assert any("<svg" in html for html in shown), "curves"
    assert kernel.value("model.history().epochs.len()") == "2"
    kernel.good("run.evaluate(&mut model, &data.validation())?; run.test(&mut model, &data.test())?;")
    record = kernel.value("let record = run.record(&mut model)?; (record.net.name.clone(), record.net.parameters, record.status.clone(), record.phases.test.is_some())")
    assert record == '("small", Some(482), Ok, true)'
    weights = kernel.value("record.net.weights.clone()")
    assert weights == 'Some("random (by the net\'s own code, seed 0)")'

    file = tmp_path / "small.safetensors"
    kernel.good(f'model.save("{file}")?;')
    kernel.good(
        f"""
        let mut again = Model::build(&net, &data, Build {{ seed: 9, ..build.clone() }})?;
        again.restore("{file}")?;
        """
    )
    assert kernel.value("again.parameters()? == model.parameters()? && again.history() == model.history()") == "true"
    failed = kernel.run(f'Model::load("{file}")?')
    assert failed.status == "error" and "restore(" in failed.problem


def test_mistakes_in_a_forward_pass_name_the_line_and_keep_the_model(kernel: Kernel, images: Path) -> None:
    kernel.good(f'use tch::nn; let data = ImageFolder::open("{images}")?; let kept = 7;')
    wrong = kernel.run(
        """
        let net = TchNet::new("wrong", [3, 32, 32], |vs| nn::linear(vs / "fc", 100, 2, Default::default()));
        Model::build(net, &data, Build::default())?
        """
    )
    assert wrong.status == "error" and "shapes cannot be multiplied" in wrong.problem, wrong.problem
    flat = kernel.run(
        """
        let net = TchNet::new("flat", [3, 32, 32], |vs| nn::linear(vs / "fc", 32, 2, Default::default()));
        Model::build(net, &data, Build::default())?
        """
    )
    assert "[2, classes]; the forward pass gives [2, 3, 32, 2]" in flat.problem
    assert kernel.value("kept") == "7"


def test_a_study_says_why_other_libraries_cannot_run_it(kernel: Kernel, images: Path, tmp_path: Path) -> None:
    said = kernel.run(
        f"""
        use tch::nn;
        let data = ImageFolder::open("{images}")?;
        let net = TchNet::new("own", [3, 32, 32], |vs| nn::seq().add_fn(|x| x.flat_view()).add(nn::linear(vs / "fc", 3 * 32 * 32, 2, Default::default())));
        let model = Model::build(net, &data, Build::default())?;
        let mut job = Job::new("{images}");
        job.net = model.net().graph().clone().into();
        let mut plan = StudyPlan::new("own", job);
        plan.check = None;
        plan.records = Some("{tmp_path / 'own.jsonl'}".into());
        plan.run()?
        """
    )
    assert said.status == "ok", said.problem
    rows = said.result["text/plain"]
    assert "code of a cell" in rows and "not available" in rows, rows


def test_a_panic_in_the_code_quotes_its_line_from_an_earlier_cell_and_the_model_goes_on(kernel: Kernel, images: Path) -> None:
    kernel.good(
        f"""
        use tch::nn;
        static FAIL: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
        let data = ImageFolder::open("{images}")?;
        let net = TchNet::new("fails", [3, 32, 32], |vs| {{
            let fc = nn::linear(vs / "fc", 3 * 32 * 32, 2, Default::default());
            nn::func(move |x| {{
                assert!(!FAIL.load(std::sync::atomic::Ordering::Relaxed), "as told");
                x.flat_view().apply(&fc)
            }})
        }});
        let mut model = Model::build(&net, &data, Build::default())?;
        let fit = Fit {{ batch_size: 8, ..Fit::default() }};
        FAIL.store(true, std::sync::atomic::Ordering::Relaxed);
        """
    )
    failed = kernel.run("let other = 1;\nlet lines = 2;\nmodel.fit(&data, fit.clone())?;")
    assert failed.status == "error" and "as told" in failed.evalue, failed.problem
    assert "failed in the line `assert!(!FAIL.load(std::sync::atomic::Ordering::Relaxed)" in failed.evalue, failed.problem
    kernel.good("FAIL.store(false, std::sync::atomic::Ordering::Relaxed);")
    assert kernel.value("model.fit(&data, fit.clone())?.epochs.len()") == "1"

    kernel.good(
        """
        let wrong = TchNet::new("wrong", [3, 32, 32], |vs| {
            let fc = nn::linear(vs / "fc", 100, 2, Default::default());
            nn::func(move |x| {
                x.flat_view().apply(&fc)
            })
        });
        """
    )
    failed = kernel.run("Model::build(&wrong, &data, Build::default())?")
    assert "failed in the line `x.flat_view().apply(&fc)`" in failed.evalue, failed.problem
    assert "2x3072 and 100x2" in failed.evalue, failed.problem

//! Schedulers against diffusers 0.36.0 (torch 2.11.0), fp32: timesteps, noise levels and whole loops of
//! `tests/parity/schedulers/cases.json`; made by `make.py` there.

mod common;

use std::fs;

use common::{Fixture, assert_relative, project, random_tensor};
use gstflowvid::diffusion::{Scheduler, SchedulerConfig};
use tch::Tensor;

const SEED: u64 = 7;
const SHAPE: [i64; 4] = [1, 4, 8, 8];

fn random(name: &str) -> Tensor {
    random_tensor(SEED, name, &SHAPE)
}

/// A network of one line.
fn model_output(sample: &Tensor, timestep: f64) -> Tensor {
    (sample * 2.0 + timestep / 500.0).sin() * 0.7
}

#[test]
fn whole_loops_match() {
    let fixture = Fixture::open("schedulers");
    let text = fs::read_to_string(project("tests/parity/schedulers/cases.json")).unwrap();
    let cases: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    for (name, case) in &cases {
        let config: SchedulerConfig =
            serde_json::from_value(case["config"].clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let scheduler = Scheduler::new(&config);
        let mut sampler = scheduler.sampler(case["steps"].as_u64().unwrap() as usize);
        let noise = random(&format!("{name}.sample")) * 1.7;
        let (mut sample, ones) = (sampler.start(&noise), noise.ones_like());
        let (mut timesteps, mut sigmas) = (Vec::new(), Vec::new());
        for draw in 1.. {
            let Some(timestep) = sampler.timestep() else { break };
            timesteps.push(timestep);
            sigmas.push(sampler.add_noise(&noise.zeros_like(), &ones).double_value(&[0, 0, 0, 0]));
            let output = model_output(&sample, timestep);
            sample = sampler.step(&output, &sample, &random(&format!("{name}.noise.{draw}")));
        }
        let expected = |part: &str| fixture.tensor(&format!("{name}.{part}"));
        assert_relative(name, &Tensor::from_slice(&timesteps), &expected("timesteps"), 1e-5);
        assert_relative(name, &Tensor::from_slice(&sigmas), &expected("sigmas"), 1e-5);
        assert_relative(name, &sample, &expected("sample"), 1e-4);
    }
    assert!(cases.len() > 15);
}

#[test]
fn what_is_not_understood_is_refused() {
    for (options, complaint) in [
        (r#""_class_name": "HeunDiscreteScheduler""#, "HeunDiscreteScheduler"),
        (r#""thresholding": true"#, "true"),
        (r#""_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++""#, "sde"),
        (r#""_class_name": "DPMSolverMultistepScheduler", "solver_order": 3"#, "solver_order 3"),
        (r#""_class_name": "EulerDiscreteScheduler", "use_beta_sigmas": true"#, "true"),
        (r#""_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -5.1"#, "-5.1"),
    ] {
        let error = serde_json::from_str::<SchedulerConfig>(&format!("{{{options}}}")).unwrap_err();
        assert!(error.to_string().contains(complaint), "{options}: {error}");
    }
}

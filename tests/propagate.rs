//! Keyframes by diffusion, with random weights in the embedded model's shape.

mod common;

use std::{env, ffi::c_int, fs, process::Command, time::Instant};

use common::{change_json, fill, nano_configs, random_values};
use gstflowvid::{
    diffusion::{ControlCondition, DiffusionModel, KeyframeMemory, PictureConditions, StepTime, noise},
    engine::{CancelToken, EditParameters, EngineError, KeyframeConditions, Propagator},
    torch::Placement,
};
use tch::{Device, Kind, Tensor, nn::VarStore};

fn propagator(keyframes: i64) -> Propagator {
    with_model(keyframes).0
}

/// The embedded model's configs with random weights, `keyframes` of 64 x 96 pixels a call; and the same
/// model for a loop of the test's own.
fn with_model(keyframes: i64) -> (Propagator, DiffusionModel) {
    let (_root, folder) = nano_configs();
    let index = folder.path().join("model_index.json");
    change_json(&index, |index| index["flowvid"]["pixels_per_call"] = (keyframes * 64 * 96).into());
    let store = VarStore::new(Placement::cpu().device);
    let model = DiffusionModel::new(&store.root(), &folder).unwrap();
    fill(&store, 3);
    DiffusionModel::save(&store, folder.path(), Kind::Float).unwrap();
    (Propagator::load(&folder, Placement::cpu()).unwrap(), model)
}

fn conditions(stream_times: &[u64], [height, width]: [i64; 2]) -> KeyframeConditions {
    // not torch's own generator, which the tests of a process share
    let random = |name: &str, count: i64, channels: i64| {
        let size = [count, channels, height, width];
        let values = random_values(4, name, size.iter().product::<i64>() as usize);
        Tensor::from_slice(&values).view(size) * 0.5 + 0.5
    };
    let keyframes = stream_times.len() as i64;
    let pictures = PictureConditions {
        composite: random("composite", keyframes, 3),
        confidence: random("confidence", keyframes, 1),
        first: random("first", 1, 3),
        control: vec![(ControlCondition::Canny, random("condition", keyframes, 3))],
    };
    KeyframeConditions { pictures, finished: 1, anchor: None, stream_times: stream_times.to_vec() }
}

const SMALL: [i64; 2] = [64, 96];
const TIMES: [u64; 5] = [0, 160, 320, 480, 640];

fn parameters(prompt: &str, seed: u64) -> EditParameters {
    EditParameters { prompt: prompt.into(), seed, num_inference_steps: 2, ..Default::default() }
}

fn diffuse(propagator: &Propagator, parameters: &EditParameters) -> Tensor {
    propagator.diffuse(&conditions(&TIMES, SMALL), parameters, &CancelToken::new()).unwrap().pictures
}

fn largest(difference: Tensor) -> f64 {
    difference.abs().max().double_value(&[])
}

#[test]
fn seed_and_prompt_decide_every_byte() {
    let propagator = propagator(2);
    let pictures = diffuse(&propagator, &parameters("starry night", 1));
    assert_eq!(pictures.size(), [5, 3, 64, 96]);
    assert_eq!(pictures, diffuse(&propagator, &parameters("starry night", 1)));
    for (changed, other) in [
        ("seed", parameters("starry night", 2)),
        ("prompt", parameters("pencil sketch", 1)),
        ("steps", EditParameters { num_inference_steps: 3, ..parameters("starry night", 1) }),
        ("guidance", EditParameters { guidance_scale: 4.0, ..parameters("starry night", 1) }),
    ] {
        let difference = largest(&pictures - diffuse(&propagator, &other));
        assert!(difference > 1.0 / 255.0, "another {changed} changes no byte: {difference}");
    }
}

/// DDIM with guidance, the finished keyframe at each step's own noise, all keyframes in one call.
#[test]
fn sampling_matches_the_loop_written_plainly() {
    let (propagator, model) = with_model(2);
    let _no_grad = tch::no_grad_guard();
    let given = conditions(&TIMES, SMALL);
    let latents = model.encode_conditions(&given.pictures);
    let composite = &given.pictures.composite;
    let finished = model.encode_pictures(&composite.narrow(0, 0, 1));
    let start = noise(1, 0, &TIMES, [24, 16, 24], Device::Cpu);
    let (mut sampler, mut sample) = (model.scheduler().sampler(3), start.shallow_clone());
    for timestep in [999, 666, 332] {
        assert_eq!(sampler.timestep(), Some(timestep as f64));
        let times = |count| Tensor::full(count, timestep, (Kind::Int64, Device::Cpu));
        let held = sampler.add_noise(&finished, &start.narrow(0, 0, 1));
        sample = Tensor::cat(&[held, sample.narrow(0, 1, 4)], 0);
        let [wanted, unwanted] = ["starry night", "neon"].map(|prompt| {
            let text = model.encode_prompts(&[prompt; 5]);
            let memory = &mut KeyframeMemory::new(5);
            model.denoise(&sample, StepTime::alone(&times(5)), &text, &latents, memory).model_output()
        });
        let guided = &unwanted + (wanted - &unwanted) * 3.0;
        sample = sampler.step(&guided, &sample, &start);
    }
    let expected = model.decode_upon(&sample, composite).clamp(0.0, 1.0).narrow(0, 1, 4);
    let found = diffuse(
        &propagator,
        &EditParameters {
            num_inference_steps: 3,
            guidance_scale: 3.0,
            negative_prompt: "neon".into(),
            ..parameters("starry night", 1)
        },
    );
    let error = largest(found.narrow(0, 1, 4) - &expected);
    assert!(error < 1e-3 && expected.std(true).double_value(&[]) > 0.1, "{error}");
}

/// Untrained, with one step, the composite comes back whole: also what the autoencoder cannot hold.
#[test]
fn what_the_network_leaves_alone_is_the_composites() {
    let (_root, folder) = nano_configs();
    let store = VarStore::new(Placement::cpu().device);
    DiffusionModel::new(&store.root(), &folder).unwrap();
    DiffusionModel::save(&store, folder.path(), Kind::Float).unwrap();
    let propagator = Propagator::load(&folder, Placement::cpu()).unwrap();
    let given = conditions(&TIMES, SMALL);
    let one_step = EditParameters { num_inference_steps: 1, ..parameters("oil", 1) };
    let pictures = propagator.diffuse(&given, &one_step, &CancelToken::new()).unwrap().pictures;
    let error = largest(pictures - given.pictures.composite);
    assert!(error < 1e-4, "{error}");
}

#[test]
fn a_negative_prompt_counts_with_guidance_only() {
    let propagator = propagator(5);
    let at = |guidance_scale, negative: &str| {
        let negative_prompt = negative.into();
        diffuse(
            &propagator,
            &EditParameters { guidance_scale, negative_prompt, ..parameters("oil painting", 1) },
        )
    };
    assert_eq!(at(1.0, ""), at(1.0, "neon"));
    assert!(largest(at(3.0, "") - at(3.0, "neon")) > 1.0 / 255.0);
}

#[test]
fn the_result_does_not_depend_on_the_size_of_the_calls() {
    let expected = diffuse(&propagator(5), &parameters("starry night", 1));
    for keyframes in [1, 2, 4] {
        let error = largest(diffuse(&propagator(keyframes), &parameters("starry night", 1)) - &expected);
        assert!(error < 1e-4, "{keyframes} keyframes a call: {error}");
    }
}

#[test]
fn the_first_keyframe_comes_back_untouched_and_is_seen_by_the_others() {
    let propagator = propagator(5);
    let given = conditions(&TIMES, SMALL);
    let run = |given: &KeyframeConditions| {
        propagator.diffuse(given, &parameters("starry night", 1), &CancelToken::new()).unwrap().pictures
    };
    let pictures = run(&given);
    assert_eq!(pictures.narrow(0, 0, 1), given.pictures.composite.narrow(0, 0, 1));
    let mut other = conditions(&TIMES, SMALL);
    let composite = &other.pictures.composite;
    other.pictures.composite = Tensor::cat(&[composite.narrow(0, 0, 1) * 0.3, composite.narrow(0, 1, 4)], 0);
    let changed = run(&other);
    for keyframe in 1..5 {
        let part = |pictures: &Tensor| pictures.narrow(0, keyframe, 1);
        assert!(largest(part(&pictures) - part(&changed)) > 1e-4, "keyframe {keyframe} does not see it");
    }
}

#[test]
fn a_raised_token_ends_it() {
    let cancel = CancelToken::new();
    cancel.cancel();
    let result = propagator(1).diffuse(&conditions(&TIMES, SMALL), &parameters("oil", 1), &cancel);
    assert!(matches!(result, Err(EngineError::Cancelled)));
}

#[test]
fn cancelling_from_another_thread_is_soon_seen() {
    let (propagator, cancel) = (propagator(1), CancelToken::new());
    let given = conditions(&TIMES, [256, 448]);
    let raised = std::thread::spawn({
        let cancel = cancel.clone();
        move || {
            std::thread::sleep(std::time::Duration::from_millis(150));
            cancel.cancel();
            Instant::now()
        }
    });
    let endless = EditParameters { num_inference_steps: 1000, ..parameters("oil", 1) };
    let result = propagator.diffuse(&given, &endless, &cancel);
    let late = Instant::now() - raised.join().unwrap();
    assert!(matches!(result, Err(EngineError::Cancelled)));
    assert!(late.as_secs_f64() < 2.0, "{late:?} after the token was raised"); // one call: 0.1 s when idle
}

#[test]
fn a_batch_of_one_is_finished() {
    let given = conditions(&[0], SMALL);
    let pictures =
        propagator(1).diffuse(&given, &parameters("oil", 1), &CancelToken::new()).unwrap().pictures;
    assert_eq!(pictures, given.pictures.composite);
}

/// Says to the child that it is to run short of memory.
const SHORT_OF_MEMORY: &str = "FLOWVID_TEST_SHORT_OF_MEMORY";
/// Address space of this process in bytes, by its name in `/proc/self/status`.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

unsafe extern "C" {
    fn setrlimit(resource: c_int, limit: *const [u64; 2]) -> c_int;
}

/// This process can take so many bytes of address space and no more.
fn limit_memory(bytes: u64) {
    const RLIMIT_AS: c_int = 9;
    // SAFETY: the limit is a soft and a hard one, as in `struct rlimit`.
    assert_eq!(unsafe { setrlimit(RLIMIT_AS, &[bytes, u64::MAX]) }, 0);
}

/// A process of its own, since the limit is the process's.
#[test]
fn half_of_the_keyframes_at_once_where_memory_is_short_for_all() {
    if env::var_os(SHORT_OF_MEMORY).is_some() {
        return run_short_of_memory();
    }
    let mut itself = Command::new(env::current_exe().unwrap());
    let itself = itself
        .args(["--exact", "half_of_the_keyframes_at_once_where_memory_is_short_for_all", "--nocapture"])
        .env(SHORT_OF_MEMORY, "1")
        // What is freed goes back at once, and no thread reserves address space: else the limits are a matter of luck.
        .envs([("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "65536")])
        // A panic that finds no memory for its backtrace never ends.
        .env("RUST_BACKTRACE", "0");
    let ended = itself.output().unwrap();
    let [out, err] = [&ended.stdout, &ended.stderr].map(|said| String::from_utf8_lossy(said));
    assert!(ended.status.success(), "{}: {out} {err}", ended.status);
}

fn run_short_of_memory() {
    const ALL: i64 = 8;
    const LARGE: [i64; 2] = [512, 768];
    let times: Vec<u64> = (0..ALL as u64).map(|index| index * 160).collect();
    let conditions = conditions(&times, LARGE);
    let parameters = EditParameters { num_inference_steps: 1, ..parameters("starry night", 1) };
    let at_once = |keyframes: i64| propagator(keyframes * LARGE[0] * LARGE[1] / (SMALL[0] * SMALL[1]));
    let [half, all] = [ALL / 2, ALL].map(at_once);
    let diffuse = |propagator: &Propagator| {
        propagator.diffuse(&conditions, &parameters, &CancelToken::new()).map(|diffused| diffused.pictures)
    };
    let expected = diffuse(&half).unwrap();
    let for_half = memory("VmPeak:");
    drop(diffuse(&all).unwrap());
    let for_all = memory("VmPeak:");
    println!("half needs {} MiB, all need {}", for_half >> 20, for_all >> 20);
    limit_memory((for_half + for_all) / 2);
    let error = largest(diffuse(&all).expect("half fits") - &expected);
    assert!(error < 1e-4, "{error}");
    let now = memory("VmSize:");
    limit_memory(now + (for_half - now) / 4);
    let said = diffuse(&all).expect_err("not even half fits");
    assert!(matches!(&said, EngineError::OutOfMemory { device, .. } if device == "cpu"), "{said}");
    limit_memory(u64::MAX);
    let error = largest(diffuse(&all).expect("memory is there again") - &expected);
    assert!(error < 1e-4, "{error}");
}

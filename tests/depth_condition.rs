//! `condition=depth` from end to end: a depth network's picture of each frame through the ControlNet that was trained on
//! it, on random weights.

mod common;
#[path = "../examples/random_model/folder.rs"]
mod folder;

use std::{fs, sync::Arc};

use common::{change_json, filled, project, request};
use folder::{Autoencoder, RandomModel, SchedulerKind, Size};
use gstflowvid::{
    conditions::depth::{Config, DepthAnything},
    engine::{CancelToken, Condition, EditParameters, EngineError, Frame, Picture, Samples, open},
    weights::save,
};
use serde_json::{Value, json};
use tch::Kind;
use tempfile::TempDir;

const WIDTH: usize = 96;
const HEIGHT: usize = 64;

/// A tiny model whose ControlNets were trained on depth and inpainting.
fn written(depth_seed: Option<u64>) -> TempDir {
    let root = TempDir::new().unwrap();
    let model = RandomModel {
        size: Size::Tiny,
        vae: Autoencoder::Kl,
        scheduler: SchedulerKind::Ddim,
        seed: 5,
        kind: Kind::Float,
    };
    model.write(root.path()).unwrap();
    change_json(&root.path().join("model_index.json"), |index| {
        index["flowvid"]["controlnets"]["controlnet"] = json!({ "condition": "depth" });
    });
    if let Some(seed) = depth_seed {
        let depth = root.path().join("depth");
        fs::create_dir(&depth).unwrap();
        fs::copy(project("tests/parity/depth/config.json"), depth.join("config.json")).unwrap();
        change_json(&depth.join("config.json"), make_small);
        let config: Config =
            serde_json::from_str(&fs::read_to_string(depth.join("config.json")).unwrap()).unwrap();
        let (store, _network) = filled(&config, seed, DepthAnything::new);
        let tensors: Vec<_> = store.variables().into_iter().collect();
        save(&tensors, &depth.join("model.safetensors"), Kind::Float).unwrap();
    }
    root
}

fn make_small(config: &mut Value) {
    let backbone = &mut config["backbone_config"];
    for (name, value) in [("hidden_size", 48), ("num_attention_heads", 2), ("num_hidden_layers", 4)] {
        backbone[name] = value.into();
    }
    backbone["out_indices"] = json!([1, 2, 3, 4]);
    config["neck_hidden_sizes"] = json!([8, 16, 32, 48]);
    for (name, value) in [("reassemble_hidden_size", 48), ("fusion_hidden_size", 16), ("head_hidden_size", 8)]
    {
        config[name] = value.into();
    }
}

fn frames() -> Vec<Frame> {
    let frame = |index: usize| {
        let sample = |at: usize| (((at / 3 % WIDTH + 2 * index) * 5) ^ ((at / 3 / WIDTH) * 3)) as u8;
        let samples = Samples::U8((0..WIDTH * HEIGHT * 3).map(sample).collect());
        let picture = Arc::new(Picture { width: WIDTH, height: HEIGHT, samples });
        Frame { picture, stream_time: index as u64 * 40_000_000, starts_shot: false }
    };
    (0..3).map(frame).collect()
}

fn edited(model: &TempDir, condition: Condition) -> Result<Vec<Picture>, EngineError> {
    let mut engine = open(&request(&format!("{}/", model.path().display())), &CancelToken::new())?;
    let parameters = EditParameters {
        prompt: "a castle".into(),
        batch_size: 2,
        keyframe_interval: 2,
        num_inference_steps: 2,
        condition,
        ..Default::default()
    };
    let batch = engine.process(frames(), &parameters, &CancelToken::new())?;
    Ok(batch.frames.iter().map(|frame| frame.picture.clone().unwrap()).collect())
}

#[test]
fn the_depth_of_the_frames_steers_every_one_of_them() {
    let (one, other) = (written(Some(7)), written(Some(8)));
    let with_depth = edited(&one, Condition::Depth).unwrap();
    assert_eq!(with_depth.len(), 3);
    assert_eq!(with_depth, edited(&one, Condition::Depth).unwrap(), "every byte again");
    assert_eq!(with_depth, edited(&one, Condition::Auto).unwrap(), "what the model was trained on");
    let without = edited(&one, Condition::None).unwrap();
    let another = edited(&other, Condition::Depth).unwrap();
    for index in 0..3 {
        assert_ne!(with_depth[index], without[index], "frame {index} without depth");
        assert_ne!(with_depth[index], another[index], "frame {index} with another network's depth");
    }
}

#[test]
fn what_the_model_lacks_is_said_with_a_cure() {
    let refused = |depth, condition| edited(&written(depth), condition).unwrap_err().to_string();
    let no_network = refused(None, Condition::Depth);
    assert!(no_network.contains("no depth network") && no_network.contains("condition=auto"), "{no_network}");
    let no_edges = refused(Some(7), Condition::Canny);
    assert!(no_edges.contains("no ControlNet for canny"), "{no_edges}");
}

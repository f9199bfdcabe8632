//! Presets: what `model_index.json` lists by name is laid over the model, and what the user sets comes before it.

mod common;
#[path = "../examples/random_model/folder.rs"]
mod folder;

use std::{fs, path::Path, sync::Arc};

use common::{change_json, copy_folder, project};
use folder::{Autoencoder, RandomModel, SchedulerKind, Size};
use gstflowvid::{
    diffusion::DiffusionModel,
    engine::{CancelToken, EditParameters, Engine, ModelRequest, open},
    torch::Placement,
    weights::{Component, LoraFile, ModelFolder},
};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

/// A copy of the embedded model with an index of the test's own.
struct Model(tempfile::TempDir);

impl Model {
    /// With these presets.
    fn new(presets: &Value) -> Self {
        Self::with(|index| index["flowvid"]["presets"] = presets.clone())
    }

    fn with(change: impl FnOnce(&mut Value)) -> Self {
        let root = tempfile::tempdir().unwrap();
        copy_folder(&project("models/nano"), &root.path().join("nano"), &|_| true);
        for shared in ["gmflow", "rife"] {
            std::os::unix::fs::symlink(project("models").join(shared), root.path().join(shared)).unwrap();
        }
        let index = root.path().join("nano/model_index.json");
        change_json(&index, change);
        Self(root)
    }

    fn folder(&self, preset: &str) -> Result<ModelFolder, String> {
        let found = ModelFolder::find("nano", &[self.0.path().into()]).unwrap();
        found.with_preset(preset).map_err(|error| error.to_string())
    }

    fn open(&self, preset: &str) -> Box<dyn Engine> {
        let request = ModelRequest::FlowVid {
            model: self.0.path().join("nano").display().to_string(),
            preset: preset.into(),
            device: "cpu".into(),
            dtype: "auto".into(),
            plugin_folder: None,
        };
        open(&request, &CancelToken::new()).expect("a model; run `make setup`")
    }
}

#[test]
fn a_preset_brings_its_own_folders_loras_and_options() {
    let model = Model::new(&json!({ "preview": {
        "vae": "vae_tiny", "scheduler": "scheduler_lcm", "loras": [{ "file": "lcm.safetensors", "strength": 0.5 }],
        "num_inference_steps": 4, "guidance_scale": 1.5, "batch_size": 4,
    }}));
    let nano = model.0.path().join("nano");
    for (folder, file, class) in [
        ("vae_tiny", "config.json", "AutoencoderTiny"),
        ("scheduler_lcm", "scheduler_config.json", "LCMScheduler"),
    ] {
        fs::create_dir(nano.join(folder)).unwrap();
        fs::write(nano.join(folder).join(file), json!({ "_class_name": class }).to_string()).unwrap();
    }
    let class = |component: Component| component.class_name().to_owned();
    let classes = |folder: &ModelFolder| {
        ["vae", "scheduler", "unet"].map(|name| class(folder.component(name).unwrap()))
    };
    let [auto, preview] = ["auto", "preview"].map(|preset| model.folder(preset).unwrap());
    assert_eq!(classes(&auto), ["PatchAutoencoder", "DDIMScheduler", "UNet2DConditionModel"]);
    assert_eq!(classes(&preview), ["AutoencoderTiny", "LCMScheduler", "UNet2DConditionModel"]);
    let option =
        |folder: &ModelFolder, name: &str| folder.options().unwrap().get(name).and_then(Value::as_f64);
    let options =
        |folder| ["num_inference_steps", "guidance_scale", "batch_size"].map(|name| option(folder, name));
    assert_eq!(options(&auto), [Some(1.0), Some(1.0), None]);
    assert_eq!(options(&preview), [Some(4.0), Some(1.5), Some(4.0)]);
    assert_eq!(auto.loras().unwrap(), []);
    assert_eq!(preview.loras().unwrap(), [LoraFile { file: nano.join("lcm.safetensors"), strength: 0.5 }]);
    assert_ne!(auto, preview);
}

#[test]
fn batches_are_the_presets_unless_the_user_asks_for_others() {
    let model = Model::new(&json!({ "preview": { "batch_size": 4 }, "quality": {} }));
    let frames = |preset: &str, batch_size| {
        let parameters = EditParameters { batch_size, keyframe_interval: 3, ..Default::default() };
        model.open(preset).batch_frames(&parameters)
    };
    assert_eq!(frames("preview", 0), 10);
    assert_eq!(frames("preview", 6), 16);
    assert_eq!(frames("quality", 0), 46, "sixteen where nobody says");
    assert_eq!(frames("auto", 1), 4, "one is as two");
}

#[test]
fn another_preset_is_another_model() {
    let model = Model::new(&json!({ "preview": { "batch_size": 4 } }));
    let sessions = [model.open("auto"), model.open("preview"), model.open("preview")];
    let [auto, preview, again] = sessions.each_ref().map(|session| session.loaded());
    assert!(!Arc::ptr_eq(&auto, &preview) && Arc::ptr_eq(&preview, &again));
}

#[test]
fn a_preset_draws_with_its_own_scheduler_and_autoencoder() {
    let root = tempfile::tempdir().unwrap();
    let place = |name: &str| root.path().join(name);
    let write = |name: &str, vae, scheduler| {
        RandomModel { size: Size::Tiny, vae, scheduler, seed: 1, kind: Kind::Half }
            .write(&place(name))
            .unwrap();
    };
    write("tiny", Autoencoder::Kl, SchedulerKind::Ddim);
    write("swift", Autoencoder::Tiny, SchedulerKind::Lcm);
    fs::rename(place("swift/vae"), place("tiny/vae_tiny")).unwrap();
    fs::rename(place("swift/scheduler"), place("tiny/scheduler_lcm")).unwrap();
    change_json(&place("tiny/model_index.json"), |index| {
        index["flowvid"]["presets"]["preview"] = json!({ "vae": "vae_tiny", "scheduler": "scheduler_lcm" });
    });
    let drawn = |preset: &str| {
        let folder = ModelFolder::find("tiny", &[root.path().into()]).unwrap().with_preset(preset).unwrap();
        let model = DiffusionModel::load(&folder, Placement::cpu()).unwrap();
        let latents = Tensor::ones([1, 4, 8, 8], (Kind::Float, Placement::cpu().device));
        (model.scheduler().most_steps(), model.decode_latents(&latents))
    };
    let [(ddim, full), (lcm, small)] = ["auto", "preview"].map(drawn);
    assert_eq!((ddim, lcm), (1000, 50));
    assert_eq!(full.size(), small.size());
    assert!((full - small).abs().max().double_value(&[]) > 0.01, "one autoencoder for both");
}

/// A LoRA of no layers.
fn write_lora(model: &Model, name: &str) {
    let header = b"{}";
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header].concat();
    fs::write(model.0.path().join("nano").join(name), bytes).unwrap();
}

#[test]
fn a_distilled_lora_brings_its_sampling_and_says_so() {
    let hyper = "Hyper-SD15-8steps-lora.safetensors";
    let model = Model::with(|index| {
        index["loras"] = json!([{ "file": "lcm-lora-sdv1-5.safetensors" }, { "file": hyper }, { "file": "ink.safetensors" }]);
        index["flowvid"]["guidance_scale"] = json!(7.5);
        index["flowvid"]["presets"] = json!({ "quality": { "num_inference_steps": 12 } });
    });
    for name in ["lcm-lora-sdv1-5.safetensors", hyper, "ink.safetensors"] {
        write_lora(&model, name);
    }
    let scheduler = model.0.path().join("nano/scheduler/scheduler_config.json");
    let leading = fs::read_to_string(&scheduler).unwrap().replace("trailing", "leading");
    fs::write(scheduler, leading).unwrap();
    let sampling = |preset: &str| {
        let folder = model.folder(preset).unwrap();
        let (options, config) = (folder.options().unwrap(), folder.component("scheduler").unwrap().config);
        let [steps, guidance] =
            ["num_inference_steps", "guidance_scale"].map(|name| options[name].as_f64().unwrap());
        let [class, spacing] =
            ["_class_name", "timestep_spacing"].map(|name| config[name].as_str().unwrap().to_owned());
        (steps, guidance, class, spacing)
    };
    let ddim = |steps, guidance| (steps, guidance, "DDIMScheduler".to_owned(), "trailing".to_owned());
    assert_eq!(sampling("auto"), ddim(8.0, 1.0), "the last one decides");
    assert_eq!(sampling("quality"), ddim(12.0, 1.0), "the preset comes before it");
    let notes = model.open("auto").notes();
    assert_eq!(notes.len(), 1);
    for word in [hyper, "Hyper-SD", "DDIMScheduler", "steps 8", "guidance-scale 1"] {
        assert!(notes[0].contains(word), "{word} is missing in: {}", notes[0]);
    }
}

#[test]
fn an_lcm_lora_makes_the_scheduler_lcms_on_the_models_own_noise() {
    let model = Model::with(|index| index["loras"] = json!([{ "file": "lcm.safetensors" }]));
    write_lora(&model, "lcm.safetensors");
    let folder = model.folder("auto").unwrap();
    let plain = Model::new(&json!({}));
    let before = plain.folder("auto").unwrap().component("scheduler").unwrap().config;
    let mut after = folder.component("scheduler").unwrap();
    assert_eq!(after.class_name(), "LCMScheduler");
    after.config["_class_name"] = json!("DDIMScheduler");
    assert_eq!(after.config, before);
    assert_eq!(folder.options().unwrap()["num_inference_steps"], json!(4));
    let idle = Model::with(|index| index["loras"] = json!([{ "file": "lcm.safetensors", "strength": 0.0 }]));
    write_lora(&idle, "lcm.safetensors");
    assert_eq!(idle.folder("auto").unwrap().component("scheduler").unwrap().class_name(), "DDIMScheduler");
}

#[track_caller]
fn refused(presets: &Value, words: &[&str]) {
    let said = Model::new(presets).folder("preview").unwrap_err();
    for word in words.iter().chain(&["nano/model_index.json"]) {
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
}

#[test]
fn a_preset_that_is_not_there_or_wrong_is_refused_by_name() {
    let remedy = ["`preview`", "preset=auto", "flowvid.presets", "models/sd15/README.md"];
    refused(&json!({}), &remedy);
    refused(&json!({ "quality": {}, "swift": {} }), &[&remedy[..], &["quality, swift"]].concat());
    let wrong = |entry: Value, words: &[&str]| refused(&json!({ "preview": entry }), words);
    wrong(json!(4), &["flowvid.presets.preview", "no table"]);
    wrong(json!({ "schedulers": "x" }), &["`schedulers`", "perhaps scheduler"]);
    wrong(json!({ "vae": 4 }), &["vae", "string"]);
    wrong(json!({ "num_inference_steps": 0 }), &["num_inference_steps is 0", "from 1 up"]);
    wrong(json!({ "guidance_scale": "high" }), &["guidance_scale is \"high\"", "from 1 up"]);
    wrong(json!({ "batch_size": 1 }), &["batch_size is 1", "from 2 up"]);
    wrong(json!({ "flow_trust": 1.5 }), &["flow_trust is 1.5", "from 0 to 1"]);
    wrong(json!({ "controlnets": [] }), &["controlnets is []", "a table"]);
    wrong(json!({ "loras": [{ "path": "x" }] }), &["loras", "path"]);
}

/// The entries of the model folder that is lent to everybody.
#[test]
fn stable_diffusion_has_the_three_presets() {
    let sd15 = |preset: &str| {
        let folder = ModelFolder::find("sd15", &[project("models")]).unwrap().with_preset(preset).unwrap();
        let options = folder.options().unwrap();
        let number = |name: &str| options.get(name).and_then(Value::as_f64).unwrap_or_default();
        let class = |name: &str| folder.component(name).unwrap().class_name().to_owned();
        let numbers = ["num_inference_steps", "guidance_scale", "batch_size"].map(number);
        (class("scheduler"), class("vae"), numbers, folder.loras().unwrap().len())
    };
    let expected =
        |scheduler: &str, vae: &str, numbers, loras| (scheduler.into(), vae.into(), numbers, loras);
    assert_eq!(sd15("quality"), expected("DDIMScheduler", "AutoencoderKL", [20.0, 7.5, 0.0], 0));
    assert_eq!(sd15("balanced"), expected("LCMScheduler", "AutoencoderKL", [8.0, 1.5, 0.0], 1));
    assert_eq!(sd15("preview"), expected("LCMScheduler", "AutoencoderTiny", [4.0, 1.0, 4.0], 1));
    assert!(Path::new(&project("models/sd15/README.md")).is_file());
}

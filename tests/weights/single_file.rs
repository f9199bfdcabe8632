//! A whole model in one file of Stable Diffusion 1's original layout.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use gstflowvid::weights::{ModelFolder, save};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::{assert_equal, common, filled, network, write};

const PARTS: [&str; 3] = ["unet", "vae", "text_encoder"];
const SEED: u64 = 5;

/// A tensor of the real layout; diffusers gave the second name.
struct Line {
    part: String,
    original: String,
    shape: Vec<usize>,
    key: String,
}

/// `tests/parity/single_file/layout.txt`
fn layout() -> Vec<Line> {
    let text = fs::read_to_string(common::project("tests/parity/single_file/layout.txt")).unwrap();
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let shape = words[2].split('x').map(|side| side.parse().unwrap()).collect();
        Line { part: words[0].into(), original: words[1].into(), shape, key: words[3].into() }
    };
    text.lines().map(line).collect()
}

/// As deep as the real networks, and thin.
fn config(part: &str) -> Value {
    let real = common::project("models/sd15").join(part).join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(real).unwrap()).unwrap();
    let thin = match part {
        "unet" => {
            json!({ "block_out_channels": [4, 8, 12, 12], "norm_num_groups": 4, "cross_attention_dim": 6,
            "attention_head_dim": 2 })
        }
        "vae" => json!({ "block_out_channels": [4, 8, 12, 12], "norm_num_groups": 4 }),
        _ => json!({ "hidden_size": 6, "intermediate_size": 8, "num_attention_heads": 2, "vocab_size": 20 }),
    };
    for (key, value) in thin.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// A model folder whose networks come from `model.safetensors`.
struct Model {
    root: tempfile::TempDir,
}

impl Model {
    /// Each tensor has the values that its key in diffusers makes; then `edit` changes the list.
    fn new(edit: impl FnOnce(&mut Vec<(String, Tensor)>)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let index = json!({ "checkpoint": "model.safetensors" });
        write(&root.path().join("own/model_index.json"), &index);
        write(&root.path().join("sd15/model_index.json"), &json!({}));
        let mut tensors = vec![];
        for part in PARTS {
            write(&root.path().join("sd15").join(part).join("config.json"), &config(part));
            tensors.extend(original(part));
        }
        edit(&mut tensors);
        save(&tensors, &root.path().join("own/model.safetensors"), Kind::Float).unwrap();
        Self { root }
    }

    fn folder(&self) -> ModelFolder {
        ModelFolder::find("own", &[self.root.path().into()]).unwrap()
    }

    fn said(&self, part: &str) -> String {
        filled(part, &self.folder().component(part).unwrap()).expect_err("an error").to_string()
    }
}

/// The part's tensors under their original names, attention of the autoencoder as 1x1 convolutions.
fn original(part: &str) -> Vec<(String, Tensor)> {
    let variables = expected(part).variables();
    let tensor = |line: Line| {
        let values = &variables[&line.key];
        let shape: Vec<i64> = if line.shape.len() == 4 && values.dim() == 2 {
            [&values.size()[..], &[1, 1]].concat()
        } else {
            values.size()
        };
        (line.original, values.view(shape.as_slice()))
    };
    layout().into_iter().filter(|line| line.part == part).map(tensor).collect()
}

fn expected(part: &str) -> tch::nn::VarStore {
    let store = network(part, &config(part));
    common::fill(&store, SEED);
    store
}

#[test]
fn every_tensor_comes_under_the_key_that_diffusers_gives_it() {
    let model = Model::new(|_| ());
    for part in PARTS {
        assert_equal(&filled(part, &model.folder().component(part).unwrap()).unwrap(), &expected(part));
    }
}

/// All 1130 tensors in their real shapes, with the configs of `models/sd15`; the values are a hole in the file.
#[test]
fn the_real_layout_fits_the_real_networks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("v1-5.safetensors");
    let (mut end, mut header) = (0, BTreeMap::new());
    for line in layout() {
        let length = 2 * line.shape.iter().product::<usize>();
        header.insert(
            line.original,
            json!({ "dtype": "F16", "shape": line.shape, "data_offsets": [end, end + length] }),
        );
        end += length;
    }
    header.insert(
        "alphas_cumprod".into(),
        json!({ "dtype": "F32", "shape": [1000], "data_offsets": [end, end + 4000] }),
    );
    let header = serde_json::to_string(&header).unwrap();
    fs::write(&file, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()).unwrap();
    let length = (8 + header.len() + end + 4000) as u64;
    fs::File::options().write(true).open(&file).unwrap().set_len(length).unwrap();
    let model = ModelFolder::find(file.to_str().unwrap(), &[common::project("models")]).unwrap();
    for part in PARTS {
        let store =
            filled(part, &model.component(part).unwrap()).unwrap_or_else(|error| panic!("{part}: {error}"));
        let sums = store.variables().into_values().map(|tensor| tensor.abs().max().double_value(&[]));
        assert_eq!(sums.fold(0.0, f64::max), 0.0, "{part}: a tensor was not read");
    }
}

#[test]
fn what_nobody_needs_is_ignored_and_the_rest_refused_by_name() {
    let ones = || Tensor::ones([3], (Kind::Float, gstflowvid::torch::Placement::cpu().device));
    let needless = [
        "model_ema.diffusion_modelinput_blocks00weight",
        "model_ema.decay",
        "alphas_cumprod",
        "betas",
        "posterior_variance",
        "cond_stage_model.transformer.text_model.embeddings.position_ids",
        "cond_stage_model.logit_scale",
        "first_stage_model.loss.logvar",
    ];
    let model = Model::new(|tensors| tensors.extend(needless.map(|key| (key.into(), ones()))));
    for part in PARTS {
        filled(part, &model.folder().component(part).unwrap()).unwrap();
    }
    for (key, part) in [
        ("control_model.input_blocks.0.0.weight", "unet"),
        ("conditioner.embedders.0.transformer.text_model.final_layer_norm.weight", "vae"),
        ("model.diffusion_model.label_emb.0.0.weight", "unet"),
        ("model.diffusion_model.input_blocks.1.0.in_layers.9.weight", "unet"),
        ("first_stage_model.decoder.up.9.block.0.norm1.weight", "vae"),
        ("first_stage_model.encoder.mid.attn_1.x.weight", "vae"),
        ("cond_stage_model.model.token_embedding.weight", "text_encoder"),
        ("cond_stage_model.transformer.text_model.encoder.layers.12.mlp.fc1.bias", "text_encoder"),
        ("surprise", "text_encoder"),
    ] {
        let said = Model::new(|tensors| tensors.push((key.into(), ones()))).said(part);
        let own = key.rsplit_once("transformer.").map_or(key, |(_, own)| own);
        assert!(said.contains("model.safetensors") && said.contains(own), "{key}: {said}");
    }
}

#[test]
fn a_lost_or_doubled_tensor_is_told() {
    let lost = "first_stage_model.decoder.conv_out.bias";
    let said = Model::new(|tensors| tensors.retain(|(key, _)| key != lost)).said("vae");
    assert!(said.contains("1 missing (first: decoder.conv_out.bias)"), "{said}");
    let doubled = |tensors: &mut Vec<(String, Tensor)>| {
        let bias = tensors
            .iter()
            .find(|(key, _)| key.ends_with("text_model.final_layer_norm.bias"))
            .unwrap()
            .1
            .copy();
        tensors.push(("cond_stage_model.transformer.final_layer_norm.bias".into(), bias));
    };
    let said = Model::new(doubled).said("text_encoder");
    assert!(said.contains("another name") && said.contains("text_model.final_layer_norm.bias"), "{said}");
}

#[test]
fn the_folders_own_weights_come_before_the_single_files() {
    let model = Model::new(|tensors| tensors.retain(|(key, _)| !key.starts_with("first_stage_model")));
    let own = model.root.path().join("own/vae");
    write(&own.join("config.json"), &config("vae"));
    assert!(model.said("vae").contains("own/model.safetensors"), "no weights in it yet");
    let variables = expected("vae").variables().into_iter().map(|(key, value)| (key, value + 1.0));
    save(&variables.collect::<Vec<_>>(), &own.join("diffusion_pytorch_model.safetensors"), Kind::Float)
        .unwrap();
    let store = filled("vae", &model.folder().component("vae").unwrap()).unwrap();
    let key = "decoder.conv_out.bias";
    assert!(store.variables()[key].equal(&(&expected("vae").variables()[key] + 1.0)));
}

/// Older files of Stable Diffusion 1.5's folders: attention layers' old names, a table of positions.
#[test]
fn a_folders_old_names_are_understood() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("old/model_index.json"), &json!({}));
    let place = |file: &str| -> PathBuf { root.path().join("old").join(file) };
    let names = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
    let old = |(key, tensor): (String, Tensor)| {
        let renamed = names.iter().fold(key.clone(), |key, (new, old)| key.replace(new, old));
        (renamed, tensor)
    };
    let mut vae: Vec<_> = expected("vae").variables().into_iter().map(old).collect();
    assert!(vae.iter().any(|(key, _)| key == "encoder.mid_block.attentions.0.proj_attn.bias"));
    vae.sort_by(|one, other| one.0.cmp(&other.0));
    save(&vae, &place("vae/diffusion_pytorch_model.safetensors"), Kind::Float).unwrap();
    let positions = Tensor::arange(77, (Kind::Float, gstflowvid::torch::Placement::cpu().device));
    let mut text: Vec<_> = expected("text_encoder").variables().into_iter().collect();
    text.push(("text_model.embeddings.position_ids".into(), positions));
    save(&text, &place("text_encoder/model.safetensors"), Kind::Float).unwrap();
    let folder = ModelFolder::find("old", &[root.path().into()]).unwrap();
    for part in ["vae", "text_encoder"] {
        write(&place(part).join("config.json"), &config(part));
        assert_equal(&filled(part, &folder.component(part).unwrap()).unwrap(), &expected(part));
    }
}

#[test]
fn what_a_single_file_lacks_is_looked_for_and_told() {
    let model = Model::new(|_| ());
    let file = model.root.path().join("own/model.safetensors");
    let file = file.to_str().unwrap();
    let nowhere = ModelFolder::find(file, &[PathBuf::from("/nowhere")]).unwrap_err().to_string();
    assert!(nowhere.contains("/nowhere/sd15"), "{nowhere}");
    let folder = ModelFolder::find(file, &[model.root.path().into()]).unwrap();
    fs::create_dir(model.root.path().join("own/tokenizer")).unwrap(); // empty, it is none
    let said = folder.tokenizer().unwrap_err().to_string();
    for place in ["own/model.safetensors", "own/tokenizer", "sd15/tokenizer", "vocab.json"] {
        assert!(said.contains(place), "{place} is missing in: {said}");
    }
    write(&model.root.path().join("own/tokenizer/vocab.json"), &json!({}));
    let found = folder.tokenizer().unwrap();
    assert_eq!(found.file_name(), Some(Path::new("tokenizer").as_os_str()));
}

//! The embedded model's folder: its networks build, train, save and load.

mod common;

use common::{fill, nano_configs};
use gstflowvid::{
    diffusion::{
        ControlCondition, ControlNetModel, DiffusionModel, KeyframeMemory, PatchAutoencoder,
        PictureConditions, Preconditioning, StepTime, Tokenizer, UNet2DConditionModel,
    },
    torch::Placement,
    weights::{ModelFolder, load, search_path},
};
use tch::{Device, Kind, Tensor, nn::VarStore};

const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

fn conditions(keyframes: i64) -> PictureConditions {
    let picture = |frames| Tensor::rand([frames, 3, 64, 96], FLOAT);
    PictureConditions {
        composite: picture(keyframes),
        confidence: Tensor::rand([keyframes, 1, 64, 96], FLOAT),
        first: picture(1),
        control: vec![(ControlCondition::Canny, picture(keyframes))],
    }
}

fn output(model: &DiffusionModel, pictures: &PictureConditions, sample: &Tensor) -> Tensor {
    let keyframes = sample.size()[0];
    let text = model.encode_prompts(&vec!["starry night"; keyframes as usize]);
    let timesteps = Tensor::full(keyframes, 700, (Kind::Int64, Device::Cpu));
    let latents = model.encode_conditions(pictures);
    let memory = &mut KeyframeMemory::new(keyframes);
    model.denoise(sample, StepTime::alone(&timesteps), &text, &latents, memory).model_output()
}

#[test]
fn the_embedded_model_fits_its_budget() {
    let store = VarStore::new(Placement::cpu().device);
    let folder = ModelFolder::find("nano", &search_path(None)).unwrap();
    DiffusionModel::new(&store.root(), &folder).unwrap();
    let parameters: usize = store.variables().values().map(Tensor::numel).sum();
    assert!(parameters < 7_500_000, "{parameters} parameters do not fit into 16 MB with the rest");
}

/// The text encoder is taught by the words that choose a look.
#[test]
fn the_tokenizer_knows_every_word_of_every_look() {
    let folder = ModelFolder::find("nano", &search_path(None)).unwrap();
    let tokenizer = Tokenizer::open(&folder.path().join("tokenizer")).unwrap();
    let looks = folder.component("editor").unwrap().config["looks"].as_array().unwrap().clone();
    let words: Vec<String> = ["words", "weak_words"]
        .iter()
        .flat_map(|key| looks.iter().filter_map(move |look| look[key].as_array()))
        .flatten()
        .flat_map(|words| words.as_str().unwrap().split(|letter: char| !letter.is_alphanumeric()))
        .map(str::to_owned)
        .collect();
    assert!(words.len() > 100);
    let unknown: Vec<_> = words.iter().filter(|word| !tokenizer.understands(word)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn untrained_it_answers_the_prior() {
    let store = VarStore::new(Placement::cpu().device);
    let (_root, folder) = nano_configs();
    let model = DiffusionModel::new(&store.root(), &folder).unwrap();
    let pictures = conditions(2);
    let composite = model.encode_pictures(&pictures.composite);
    let noise = composite.randn_like();
    let timesteps = Tensor::full(2, 999, (Kind::Int64, Device::Cpu));
    let text = model.encode_prompts(&["", ""]);
    let latents = model.encode_conditions(&pictures);
    let memory = &mut KeyframeMemory::new(2);
    let denoised = model.denoise(&noise, StepTime::alone(&timesteps), &text, &latents, memory);
    let original = model.scheduler().sampler(1).step(&denoised.model_output(), &noise, &noise);
    let error = (original - composite).abs().max().double_value(&[]);
    assert!(error < 1e-5, "one step from pure noise misses the composite by {error}");
}

#[test]
fn a_training_step_reaches_every_parameter() {
    let store = VarStore::new(Placement::cpu().device);
    let (_root, folder) = nano_configs();
    let model = DiffusionModel::new(&store.root(), &folder).unwrap();
    fill(&store, 1);
    let pictures = conditions(3);
    let sample = model.encode_pictures(&pictures.composite).randn_like();
    let decoded = model.decode_latents(&output(&model, &pictures, &sample));
    (decoded - 0.3).square().mean(Kind::Float).backward();
    for (key, variable) in store.variables() {
        let grad = variable.grad();
        assert!(
            grad.defined() && grad.abs().sum(Kind::Float).double_value(&[]) > 0.0,
            "{key} has no gradient"
        );
    }
}

#[test]
fn saved_weights_load_as_the_same_model() {
    let mut store = VarStore::new(Placement::cpu().device);
    let (_root, folder) = nano_configs();
    let model = DiffusionModel::new(&store.root(), &folder).unwrap();
    fill(&store, 1);
    DiffusionModel::save(&store, folder.path(), Kind::Half).unwrap();
    let loaded = DiffusionModel::load(&folder, Placement::cpu()).unwrap();
    let pictures = conditions(2);
    let sample = model.encode_pictures(&pictures.composite).randn_like();
    store.half(); // what the file holds
    store.float();
    let (expected, found) = (output(&model, &pictures, &sample), output(&loaded, &pictures, &sample));
    assert!((expected - &found).abs().max().double_value(&[]) < 1e-5);
    assert!(found.std(true).double_value(&[]) > 0.1);
}

/// `[normalised residual, composite, first edited frame, confidence]`, for UNet and ControlNet alike.
#[test]
fn conditions_enter_in_the_documented_order() {
    let _no_grad = tch::no_grad_guard();
    let (store, (_root, folder)) = (VarStore::new(Placement::cpu().device), nano_configs());
    let model = DiffusionModel::new(&store.root(), &folder).unwrap();
    fill(&store, 1);
    DiffusionModel::save(&store, folder.path(), Kind::Float).unwrap();
    let component = |name| folder.component(name).unwrap();
    let unet = load(&component("unet"), Placement::cpu(), UNet2DConditionModel::new).unwrap();
    let controlnet = load(&component("controlnet"), Placement::cpu(), ControlNetModel::new).unwrap();
    let vae = load(&component("vae"), Placement::cpu(), PatchAutoencoder::new).unwrap();

    let pictures = conditions(2);
    let (composite, first) = (vae.encode(&pictures.composite), vae.encode(&pictures.first));
    let sample = composite.randn_like();
    let timesteps = Tensor::full(2, 700, (Kind::Int64, Device::Cpu));
    let text = model.encode_prompts(&["starry night"; 2]);
    let lowest = pictures.confidence.unfold(2, 4, 4).unfold(3, 4, 4).amin([-1, -2], false); // of each 4 x 4
    let known = Preconditioning { tau_visible: 0.12, tau_hole: 0.5 }.at(
        &sample,
        &composite,
        &lowest,
        &model.scheduler().noise_schedule().noise_level(&timesteps),
    );
    let input = Tensor::cat(&[&known.input(), &composite, &first.expand_as(&composite), &lowest], 1);
    let embedding = controlnet.embed_condition(&pictures.control[0].1);
    let residuals = controlnet.forward(&input, &timesteps, &text, &embedding, 1.0);
    let memory = &mut KeyframeMemory::new(2);
    let expected = known.velocity(&unet.forward(&input, &timesteps, &text, Some(&residuals), memory));
    let error = (output(&model, &pictures, &sample) - expected).abs().max().double_value(&[]);
    assert!(error < 1e-4, "{error}");
}

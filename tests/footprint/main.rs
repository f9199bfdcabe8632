//! The memory that a run is said to take is what libtorch allocates for it, and `memory_limit` keeps within it.

#[path = "../common/mod.rs"]
mod common;
mod counting;
#[path = "../../examples/random_model/folder.rs"]
mod folder;

use common::{change_json, fill, nano_configs};
use counting::most_allocated;
use folder::{Autoencoder, RandomModel, SchedulerKind, Size};
use gstflowvid::{
    diffusion::{CallSizes, ControlCondition, DiffusionModel, Footprint, PictureConditions, RunSize},
    engine::{CancelToken, EditParameters, EngineError, KeyframeConditions, Propagator},
    torch::Placement,
    weights::ModelFolder,
};
use tch::{Device, Kind, Tensor, nn::VarStore};

const KEYFRAMES: i64 = 6;
const STEPS: usize = 2;
/// The counts are no less than what is allocated, and not more than twice as much.
const LEAST_SHARE: f64 = 0.5;

/// A model whose diffusion goes through the networks in calls as large as memory allows.
struct Measured {
    propagator: Propagator,
    model: DiffusionModel,
    weights: u64,
    side: i64,
    _root: tempfile::TempDir,
}

impl Measured {
    fn open(root: tempfile::TempDir, folder: &ModelFolder, side: i64) -> Self {
        let index = folder.path().join("model_index.json");
        change_json(&index, |index| index["flowvid"]["pixels_per_call"] = (1_u64 << 40).into());
        let propagator = Propagator::load(folder, Placement::cpu()).unwrap();
        let model = DiffusionModel::load(folder, Placement::cpu()).unwrap();
        let weights = model.weights_bytes(folder).unwrap();
        Self { propagator, model, weights, side, _root: root }
    }

    fn stable_diffusion(vae: Autoencoder, side: i64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let tiny =
            RandomModel { size: Size::Tiny, vae, scheduler: SchedulerKind::Ddim, seed: 1, kind: Kind::Float };
        let folder = tiny.write(root.path()).unwrap();
        Self::open(root, &folder, side)
    }

    fn nano(side: i64) -> Self {
        let (root, folder) = nano_configs();
        let store = VarStore::new(Placement::cpu().device);
        DiffusionModel::new(&store.root(), &folder).unwrap();
        fill(&store, 3);
        DiffusionModel::save(&store, folder.path(), Kind::Float).unwrap();
        Self::open(root, &folder, side)
    }

    fn run(&self) -> RunSize {
        RunSize { keyframes: KEYFRAMES, pixels: self.side * self.side, steps: STEPS, guides: 2 }
    }

    fn predicted(&self, calls: CallSizes) -> u64 {
        self.model.footprint().bytes(&self.run(), calls)
    }

    fn diffuse(&self, memory_limit: u64) -> Result<(), EngineError> {
        let parameters = EditParameters {
            num_inference_steps: STEPS,
            guidance_scale: 2.0,
            memory_limit,
            ..Default::default()
        };
        let conditions = conditions(self.side);
        self.propagator.diffuse(&conditions, &parameters, &CancelToken::new()).map(drop)
    }
}

fn conditions(side: i64) -> KeyframeConditions {
    let picture = |channels| Tensor::rand([KEYFRAMES, channels, side, side], (Kind::Float, Device::Cpu));
    let control = |condition| (condition, picture(3));
    let pictures = PictureConditions {
        composite: picture(3),
        confidence: picture(1),
        first: picture(3),
        control: [ControlCondition::Canny, ControlCondition::Inpaint].map(control).into(),
    };
    let stream_times = (0..KEYFRAMES as u64).collect();
    KeyframeConditions { pictures, finished: 1, anchor: None, stream_times }
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn a_run_takes_what_is_predicted_and_stays_within_its_limit() {
    let mut beyond = Vec::new();
    for (name, measured) in [
        ("KL autoencoder", Measured::stable_diffusion(Autoencoder::Kl, 256)),
        ("small autoencoder", Measured::stable_diffusion(Autoencoder::Tiny, 256)),
        ("embedded model", Measured::nano(256)),
    ] {
        measured.diffuse(0).unwrap(); // libtorch's own buffers are made once
        for (keyframes, pictures) in [(1, 1), (3, 1), (1, 3), (KEYFRAMES, KEYFRAMES)] {
            let calls = CallSizes { keyframes, pictures };
            let predicted = measured.predicted(calls);
            let fitting = measured.model.footprint().fitting(&measured.run(), predicted).unwrap();
            assert!(fitting.keyframes >= keyframes && fitting.pictures >= pictures, "{fitting:?}");
            let limit = measured.weights + predicted;
            let taken = most_allocated(|| measured.diffuse(limit).unwrap());
            let share = taken as f64 / predicted as f64;
            println!("{name}, {calls:?}: {taken} of {predicted} bytes ({share:.2})");
            if !(LEAST_SHARE..=1.0).contains(&share) {
                beyond.push(format!("{name}, {calls:?}: {share}"));
            }
        }
        let least = measured.weights + measured.predicted(CallSizes::both(1));
        let error = measured.diffuse(least - 1000).unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, EngineError::Settings(_)) && said.contains(&least.to_string()), "{said}");
    }
    assert!(beyond.is_empty(), "{beyond:#?}");
}

/// Parameters of UNet, text encoder and autoencoder, and of each ControlNet, as diffusers and transformers count them.
const STABLE_DIFFUSION: u64 = 859_520_964 + 123_060_480 + 83_653_863;
const CONTROLNET: u64 = 361_279_120;

/// The table of `docs/measurements.md`: Stable Diffusion 1.5 in half precision at 512x512, 16 keyframes, 20 steps with
/// guidance.
#[test]
fn stable_diffusion_fits_into_a_card_of_eight_gigabytes() {
    const GB: f64 = 1e9;
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("full");
    let full = RandomModel {
        size: Size::Full,
        vae: Autoencoder::Kl,
        scheduler: SchedulerKind::Ddim,
        seed: 1,
        kind: Kind::Half,
    };
    full.write_configs(&folder).unwrap();
    let found = ModelFolder::find("full", &[root.path().into()]).unwrap();
    let footprint = Footprint::read(&found, Kind::Half).unwrap();
    let run = RunSize { keyframes: 16, pixels: 512 * 512, steps: 20, guides: 2 };
    let weights = 2 * (STABLE_DIFFUSION + 3 * CONTROLNET);
    println!("weights {:.2} GB", weights as f64 / GB);
    for card in [8_u64, 12, 16, 24] {
        let room = (card << 30) - (3 << 29) - weights;
        let calls = footprint.fitting(&run, room).unwrap();
        let (least, taken) = (footprint.bytes(&run, CallSizes::both(1)), footprint.bytes(&run, calls));
        let [least, taken] = [least, taken].map(|bytes| bytes as f64 / GB);
        println!("{card} GiB: {calls:?}, run {taken:.2} GB (at least {least:.2} GB)");
        assert!(calls.keyframes >= 4, "{calls:?}");
    }
}

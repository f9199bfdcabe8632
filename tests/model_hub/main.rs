//! `make models` against a hub on this machine that holds a tiny model: it comes whole, and whatever goes wrong is told
//! with what to do.

#[path = "../../examples/random_model/folder.rs"]
mod folder;
#[path = "../../examples/models/hub/mod.rs"]
mod hub;
mod server;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use folder::{Autoencoder, RandomModel, SchedulerKind, Size};
use gstflowvid::{diffusion::DiffusionModel, torch::Placement, weights::ModelFolder};
use hub::{Hub, Manifest, install};
use serde_json::{Value, json};
use server::{Fault, Request, Server, sha256};
use tch::Kind;

const REPOSITORY: &str = "somebody/tiny";
const REVISION: &str = "0123456789012345678901234567890123456789";
const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const VOCABULARY: &str = "tokenizer/vocab.json";

/// A hub with a tiny model, the folder that its manifest lies in, the cache and the folder to fill.
struct Setting {
    root: tempfile::TempDir,
    server: Server,
    files: HashMap<String, Vec<u8>>,
    manifest: Value,
}

impl Setting {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let random = root.path().join("random");
        let (vae, scheduler) = (Autoencoder::Tiny, SchedulerKind::Ddim);
        RandomModel { size: Size::Tiny, vae, scheduler, seed: 1, kind: Kind::Half }.write(&random).unwrap();
        let own = root.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::rename(random.join("model_index.json"), own.join("model_index.json")).unwrap();
        let files = read_folder(&random);
        let listed = files.iter().map(|(name, bytes)| {
            let checksum = if name.ends_with(".safetensors") { sha256(bytes).into() } else { Value::Null };
            json!({ "file": name, "to": name, "size": bytes.len(), "sha256": checksum })
        });
        let manifest = json!({ "sources": [{
            "repository": REPOSITORY, "revision": REVISION, "licence": "Public domain",
            "licence_url": "https://example.org/licence", "files": listed.collect::<Vec<_>>(),
        }]});
        Self { root, server: Server::start(files.clone()), files, manifest }
    }

    fn hub(&self) -> Hub {
        let cache = self.root.path().join("cache");
        Hub { endpoint: self.server.endpoint.clone(), cache, token: None, progress: false }
    }

    fn target(&self) -> PathBuf {
        self.root.path().join("models/tiny")
    }

    fn install_from(&self, hub: &Hub, accept: bool) -> Result<(), String> {
        let manifest: Manifest = serde_json::from_value(self.manifest.clone()).unwrap();
        let own = self.root.path().join("own");
        install(&manifest, &own, hub, &self.target(), |_| Ok(accept), |_| {})
            .map_err(|error| format!("{error:#}"))
    }

    fn install(&self) -> Result<(), String> {
        self.install_from(&self.hub(), true)
    }

    #[track_caller]
    fn assert_complete(&self) {
        for (name, bytes) in &self.files {
            assert!(fs::read(self.target().join(name)).unwrap() == *bytes, "{name} has other bytes");
        }
    }

    /// The ranges that were asked for of a file, but for the question how long it is.
    fn ranges(&self, file: &str) -> Vec<String> {
        let of_file = |request: &Request| request.path.ends_with(file) && request.range != "bytes=0-0";
        self.server.requests().into_iter().filter(of_file).map(|request| request.range).collect()
    }

    fn set(&mut self, file: &str, key: &str, value: Value) {
        let files = self.manifest["sources"][0]["files"].as_array_mut().unwrap();
        files.iter_mut().find(|entry| entry["file"] == file).unwrap()[key] = value;
    }
}

fn read_folder(folder: &Path) -> HashMap<String, Vec<u8>> {
    let mut files = HashMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            files.extend(
                read_folder(&entry.path()).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)),
            );
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

#[track_caller]
fn assert_says(result: Result<(), String>, words: &[&str]) {
    let said = result.expect_err("an error");
    for word in words {
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
}

#[test]
fn a_model_comes_whole_and_loads() {
    let setting = Setting::new();
    setting.install().unwrap();
    setting.assert_complete();
    let found = ModelFolder::find("tiny", &[setting.root.path().join("models")]).unwrap();
    DiffusionModel::load(&found, Placement::cpu()).unwrap();
    assert!(!setting.target().join("manifest.json").exists());
    let asked = setting.server.requests().len();
    setting.install().unwrap();
    assert_eq!(setting.server.requests().len(), asked, "what is there is not asked for again");
}

#[test]
fn a_cut_connection_is_taken_up_where_it_was_cut() {
    let setting = Setting::new();
    setting.server.fault(UNET, Fault::Cut(1000));
    setting.server.fault(UNET, Fault::Cut(500));
    setting.install().unwrap();
    setting.assert_complete();
    assert_eq!(setting.ranges(UNET), ["bytes=0-", "bytes=1000-", "bytes=1500-"]);
}

#[test]
fn where_nothing_comes_the_next_run_goes_on() {
    let setting = Setting::new();
    setting.server.fault(UNET, Fault::Cut(1000));
    setting.server.fault(UNET, Fault::Cut(0));
    assert_says(setting.install(), &[UNET, "came in part", "run again"]);
    assert!(ModelFolder::find("tiny", &[setting.root.path().join("models")]).is_err(), "a part is no model");
    setting.install().unwrap();
    setting.assert_complete();
    assert_eq!(setting.ranges(UNET), ["bytes=0-", "bytes=1000-", "bytes=1000-"]);
}

#[test]
fn another_checksum_than_the_manifests_is_refused_and_fetched_anew() {
    let mut setting = Setting::new();
    let (right, wrong) = (sha256(&setting.files[UNET]), "0".repeat(64));
    setting.set(UNET, "sha256", json!(wrong));
    assert_says(setting.install(), &[UNET, &right, &wrong, "removed", "HF_ENDPOINT"]);
    assert!(!setting.target().join(UNET).exists());
    setting.set(UNET, "sha256", json!(right));
    setting.install().unwrap();
    assert_eq!(setting.ranges(UNET).len(), 2);
}

#[test]
fn what_the_hub_itself_names_otherwise_is_refused() {
    let mut setting = Setting::new();
    setting.set(UNET, "sha256", Value::Null);
    setting.server.fault(UNET, Fault::Corrupt);
    assert_says(setting.install(), &[UNET, &sha256(&setting.files[UNET]), "removed"]);
    setting.install().unwrap();
    setting.assert_complete();
}

#[test]
fn a_damaged_file_of_the_model_is_fetched_again() {
    let setting = Setting::new();
    setting.install().unwrap();
    fs::remove_dir_all(setting.hub().cache).unwrap();
    fs::write(setting.target().join(UNET), "damage").unwrap();
    setting.install().unwrap();
    setting.assert_complete();
    assert_eq!((setting.ranges(UNET).len(), setting.ranges(VOCABULARY).len()), (2, 1));
}

#[test]
fn what_the_hub_refuses_is_told_with_what_to_do() {
    for (status, words) in [
        (401, &[REPOSITORY, "accept its terms", "HF_TOKEN"][..]),
        (403, &[REPOSITORY, "HF_TOKEN"]),
        (404, &[UNET, REPOSITORY, REVISION, "HF_ENDPOINT"]),
        (503, &[UNET, "503"]),
    ] {
        let setting = Setting::new();
        setting.server.fault(UNET, Fault::Status(status));
        assert_says(setting.install(), words);
    }
}

#[test]
fn without_a_connection_that_is_said() {
    let setting = Setting::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // and closed again
    let endpoint = format!("http://{free}");
    let hub = Hub { endpoint: endpoint.clone(), ..setting.hub() };
    assert_says(
        setting.install_from(&hub, true),
        &[&endpoint, "cannot be reached", "go online", "HF_ENDPOINT"],
    );
}

#[test]
fn a_full_disk_is_told() {
    let setting = Setting::new();
    let blobs = setting.hub().cache.join("models--somebody--tiny/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(sha256(&setting.files[UNET])).with_extension("part");
    std::os::unix::fs::symlink("/dev/full", part).unwrap();
    assert_says(setting.install(), &[UNET, "no room", "HF_HOME"]);
}

#[test]
fn nothing_is_asked_for_before_the_licence_is_accepted() {
    let setting = Setting::new();
    assert_says(setting.install_from(&setting.hub(), false), &["not accepted", "nothing was fetched"]);
    assert_eq!(setting.server.requests(), []);
    for (answer, accepted) in [("y\n", true), ("Yes", true), ("n", false), ("", false), ("yesterday", false)]
    {
        assert_eq!(hub::accepts(answer), accepted, "{answer}");
    }
}

#[test]
fn mirror_cache_and_token_come_from_the_environment() {
    let setting = Setting::new();
    let home = setting.root.path().join("home");
    let variables = HashMap::from([
        ("HF_ENDPOINT", format!("{}/", setting.server.endpoint)),
        ("HF_HOME", home.display().to_string()),
        ("HF_TOKEN", "secret".into()),
    ]);
    let hub = Hub::of(|name| variables.get(name).cloned());
    setting.install_from(&Hub { progress: false, ..hub }, true).unwrap();
    assert!(home.join("hub/models--somebody--tiny/snapshots").join(REVISION).join(UNET).exists());
    assert!(setting.server.requests().iter().all(|request| request.authorization == "Bearer secret"));
    let plain = Hub::of(|name| (name == "HF_HOME").then(|| home.display().to_string()));
    assert_eq!((plain.endpoint.as_str(), plain.token), ("https://huggingface.co", None));
}

/// The manifest of the model that people will fetch.
#[test]
fn stable_diffusions_manifest_brings_all_that_its_presets_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/sd15").canonicalize().unwrap();
    let manifest = Manifest::read(&folder).unwrap();
    let hex =
        |text: &str, length| text.len() == length && text.bytes().all(|letter| letter.is_ascii_hexdigit());
    let mut targets = BTreeSet::new();
    for source in &manifest.sources {
        assert!(hex(&source.revision, 40), "{}: {} is no commit", source.repository, source.revision);
        assert!(manifest.licences().contains(&source.licence_url));
        for file in &source.files {
            assert!(targets.insert(file.to.as_str()), "{} comes twice", file.to);
            assert!(file.sha256.as_ref().is_none_or(|sum| hex(sum, 64)), "{}", file.file);
            let is_weights = file.to.ends_with(".safetensors");
            assert!(!is_weights || file.sha256.is_some(), "{} has no checksum", file.to);
        }
    }
    for preset in ["auto", "quality", "balanced", "preview"] {
        let model = ModelFolder::find("sd15", &[folder.parent().unwrap().into()]).unwrap();
        let model = model.with_preset(preset).unwrap();
        for lora in model.loras().unwrap() {
            assert!(targets.contains(lora.file.strip_prefix(&folder).unwrap().to_str().unwrap()), "{lora:?}");
        }
        for name in ["unet", "vae", "text_encoder"] {
            let component = model.component(name).unwrap().folder;
            let inside = component.strip_prefix(&folder).unwrap().to_str().unwrap();
            assert!(
                targets.iter().any(|target| target.starts_with(&format!("{inside}/"))),
                "{preset}: {name}"
            );
        }
    }
}

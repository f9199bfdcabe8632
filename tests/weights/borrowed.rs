//! What a folder of diffusers' takes from the model folder `sd15`: that which is not diffusers'.

use std::path::{Path, PathBuf};

use gstflowvid::weights::ModelFolder;
use serde_json::json;

use crate::write;

/// `sd15` with some components, and `dreams` of this class with a UNet.
fn models(class: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let empty = json!({});
    for file in ["flow/config.json", "editor/config.json", "text_encoder/config.json", "model_index.json"] {
        write(&root.path().join("sd15").join(file), &empty);
    }
    write(&root.path().join("dreams/model_index.json"), &json!({ "_class_name": class }));
    write(&root.path().join("dreams/unet/config.json"), &empty);
    root
}

fn dreams(root: &Path) -> ModelFolder {
    ModelFolder::find("dreams", &[root.into()]).unwrap()
}

#[test]
fn flow_comes_from_sd15_but_networks_never_do() {
    for class in ["StableDiffusionPipeline", "StableDiffusionControlNetPipeline"] {
        let root = models(class);
        let place = |name: &str| -> Result<PathBuf, String> {
            let component = dreams(root.path()).component(name).map_err(|error| error.to_string())?;
            Ok(component.folder.strip_prefix(root.path().canonicalize().unwrap()).unwrap().into())
        };
        assert_eq!(place("flow"), Ok("sd15/flow".into()));
        assert_eq!(place("editor"), Ok("sd15/editor".into()));
        assert_eq!(place("unet"), Ok("dreams/unet".into()));
        assert!(!dreams(root.path()).has("interpolation"), "sd15 has none either");
        let said = place("text_encoder").unwrap_err();
        assert!(said.contains("dreams") && said.contains("text_encoder"), "{said}");
        write(&root.path().join("dreams/flow/config.json"), &json!({}));
        assert_eq!(place("flow"), Ok("dreams/flow".into()));
    }
}

#[test]
fn other_models_borrow_nothing() {
    let root = models("FlowVidPipeline");
    assert!(!dreams(root.path()).has("flow"));
}

//! LoRAs that make a model draw in few steps: what scheduler, steps and guidance they were distilled for. They are known
//! by their names, since nothing in such a file says it: the public LCM LoRAs and ByteDance's Hyper-SD.

use std::{collections::HashMap, path::Path};

use serde_json::{Map, Value, json};

/// How a distilled model is sampled. Source: the model cards of latent-consistency/lcm-lora-sdv1-5 and
/// ByteDance/Hyper-SD.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sampling {
    kind: &'static str,
    class: &'static str,
    /// Where the class knows the option and the method needs it.
    timestep_spacing: Option<&'static str>,
    steps: u64,
    /// `None`: the model's own.
    guidance: Option<f64>,
}

/// Of an LCM LoRA: 2 to 8 steps; guidance off, or from 1 to 2.
const LCM: Sampling = Sampling {
    kind: "an LCM LoRA",
    class: "LCMScheduler",
    timestep_spacing: None,
    steps: 4,
    guidance: Some(1.0),
};

/// Where trainers write the name that a LoRA was given: kohya's scripts, and the model specification.
const NAMES: [&str; 2] = ["ss_output_name", "modelspec.title"];

impl Sampling {
    /// What `file`, with `metadata` in its header, was made for; `None` where it is no distilled model's. The folder's
    /// name counts as well: the public LCM LoRA is `lcm-lora-sdv1-5/pytorch_lora_weights.safetensors`.
    pub fn of(file: &Path, metadata: &HashMap<String, String>) -> Option<Self> {
        let folder = file.parent().and_then(Path::file_name);
        let paths = [file.file_stem(), folder].into_iter().flatten().filter_map(|name| name.to_str());
        let told = NAMES.iter().filter_map(|key| metadata.get(*key)).map(String::as_str);
        paths.chain(told).find_map(Self::of_name)
    }

    fn of_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let words: Vec<&str> = name.split(|letter: char| !letter.is_alphanumeric()).collect();
        if words.contains(&"lcm") {
            return Some(LCM);
        }
        let hyper = words.iter().any(|word| word.starts_with("hypersd"))
            || words.windows(2).any(|pair| pair[0] == "hyper" && pair[1].starts_with("sd"));
        if hyper { steps(&words).map(|steps| Self::hyper(steps, words.contains(&"cfg"))) } else { None }
    }

    /// Hyper-SD's, of so many steps. Those that keep classifier-free guidance take 5 to 8.
    fn hyper(steps: u64, keeps_guidance: bool) -> Self {
        Self {
            kind: "a Hyper-SD LoRA",
            class: "DDIMScheduler",
            timestep_spacing: Some("trailing"),
            steps,
            guidance: (!keeps_guidance).then_some(1.0),
        }
    }

    /// The entries of `flowvid` that it stands for.
    pub fn options(&self) -> Map<String, Value> {
        let guidance = self.guidance.map(|guidance| ("guidance_scale".to_owned(), json!(guidance)));
        [("num_inference_steps".to_owned(), json!(self.steps))].into_iter().chain(guidance).collect()
    }

    /// Makes the model's scheduler the one that it needs, on the noise schedule that the model has.
    pub fn change(&self, scheduler: &mut Value) {
        let Some(options) = scheduler.as_object_mut() else { return }; // refused where it is read
        options.insert("_class_name".into(), json!(self.class));
        if let Some(spacing) = self.timestep_spacing {
            options.insert("timestep_spacing".into(), json!(spacing));
        }
    }

    /// For the user.
    pub fn note(&self, file: &Path) -> String {
        let Self { kind, class, steps, .. } = self;
        let guidance = match self.guidance {
            Some(guidance) => format!(", guidance-scale {guidance}"),
            None => String::new(),
        };
        let file = file.file_name().unwrap_or_default().display();
        format!(
            "{file} is {kind}: {class}, steps {steps}{guidance}, where preset and properties say nothing else"
        )
    }
}

/// `8steps`, `1step`, `8_steps`.
fn steps(words: &[&str]) -> Option<u64> {
    let counted =
        |word: &&str| word.strip_suffix("steps").or_else(|| word.strip_suffix("step"))?.parse().ok();
    let apart = |pair: &[&str]| if matches!(pair[1], "step" | "steps") { pair[0].parse().ok() } else { None };
    words.iter().find_map(counted).or_else(|| words.windows(2).find_map(apart)).filter(|&steps| steps > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_files_are_known_by_name() {
        let hyper = Sampling::hyper;
        for (file, expected) in [
            ("lcm-lora-sdv1-5.safetensors", Some(LCM)),
            ("loras/lcm-lora-sdv1-5/pytorch_lora_weights.safetensors", Some(LCM)),
            ("LCM_LoRA_Weights_SD15.safetensors", Some(LCM)),
            ("Hyper-SD15-1step-lora.safetensors", Some(hyper(1, false))),
            ("Hyper-SD15-2steps-lora.safetensors", Some(hyper(2, false))),
            ("Hyper-SD15-4steps-lora.safetensors", Some(hyper(4, false))),
            ("Hyper-SD15-8steps-lora.safetensors", Some(hyper(8, false))),
            ("Hyper-SD15-8steps-CFG-lora.safetensors", Some(hyper(8, true))),
            ("Hyper-SD15-12steps-CFG-lora.safetensors", Some(hyper(12, true))),
            ("hypersd15_8_steps.safetensors", Some(hyper(8, false))),
            ("Hyper-SD15-lora.safetensors", None),
            ("hyper-realistic-8steps.safetensors", None),
            ("ink.safetensors", None),
            ("calcmatic.safetensors", None),
            ("lcm/ink/x.safetensors", None),
        ] {
            assert_eq!(Sampling::of(Path::new(file), &HashMap::new()), expected, "{file}");
        }
    }

    #[test]
    fn a_name_in_the_header_counts() {
        for key in NAMES {
            let metadata = HashMap::from([(key.to_owned(), "my lcm lora".to_owned())]);
            assert_eq!(Sampling::of(Path::new("x.safetensors"), &metadata), Some(LCM), "{key}");
        }
    }

    #[test]
    fn guidance_is_left_alone_where_it_was_kept() {
        let keys = |sampling: Sampling| sampling.options().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(Sampling::hyper(8, true)), ["num_inference_steps"]);
        assert_eq!(keys(LCM), ["guidance_scale", "num_inference_steps"]);
    }
}

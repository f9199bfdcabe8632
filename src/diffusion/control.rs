//! What a model's ControlNets are shown, and how much each counts in which step.

use serde::Deserialize;
use serde_json::Value;

use super::schedulers::Progress;

/// The picture that a ControlNet was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlCondition {
    /// Canny edges of the source.
    Canny,
    /// Depth of the source.
    Depth,
    /// The warped edits, holes marked.
    Inpaint,
}

impl ControlCondition {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Canny, "canny"), (Self::Depth, "depth"), (Self::Inpaint, "inpaint")];

    /// By the name that the network was published under (`_name_or_path` of its config).
    pub fn recognise(config: &Value) -> Option<Self> {
        let name = config.get("_name_or_path")?.as_str()?.to_lowercase();
        Self::ALL.into_iter().find(|(_, word)| name.contains(word)).map(|(condition, _)| condition)
    }
}

/// How much a ControlNet counts. In `model_index.json`, `flowvid.controlnets`, by the network's folder:
/// `{"controlnet": {"condition": "canny", "conditioning_scale": 0.7}}`; names as diffusers' pipelines have them.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct ControlNetOptions {
    /// What it was trained on; needed where its config does not tell.
    pub condition: Option<ControlCondition>,
    /// 1 = as trained.
    pub conditioning_scale: Option<f64>,
    /// The share of the run, 0..1, before which it does not count.
    pub control_guidance_start: Option<f64>,
    /// The share after which it does not count.
    pub control_guidance_end: Option<f64>,
    /// The share after which it counts less from step to step.
    pub fades_after: Option<f64>,
    /// How much of the scale is left in the last step.
    pub fades_to: Option<f64>,
}

/// [`ControlNetOptions`], complete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ControlNetSchedule {
    /// What it was trained on.
    pub condition: ControlCondition,
    scale: f64,
    window: (f64, f64),
    fades_after: f64,
    fades_to: f64,
}

impl ControlNetSchedule {
    /// What `options` leave open is FRESCO's for edges and depth, and for the warped edits whole at first, then fading
    /// so that texture is drawn anew and the flow's faults are not copied.
    pub fn new(condition: ControlCondition, options: &ControlNetOptions) -> Self {
        let (scale, fades_to) = if condition == ControlCondition::Inpaint { (1.0, 0.3) } else { (0.7, 1.0) };
        Self {
            condition,
            scale: options.conditioning_scale.unwrap_or(scale),
            window: (
                options.control_guidance_start.unwrap_or(0.0),
                options.control_guidance_end.unwrap_or(1.0),
            ),
            fades_after: options.fades_after.unwrap_or(0.6),
            fades_to: options.fades_to.unwrap_or(fades_to),
        }
    }

    /// The scale in the step that comes; `None` where the network does not count.
    pub fn scale_at(&self, progress: Progress) -> Option<f64> {
        let after = Progress { taken: progress.taken + 1, ..progress };
        // as diffusers' pipelines compare
        if progress.share() < self.window.0 || after.share() > self.window.1 {
            return None;
        }
        let share = progress.taken as f64 / (progress.steps - 1).max(1) as f64; // 1 in the last step
        let faded = ((share - self.fades_after) / (1.0 - self.fades_after)).max(0.0);
        Some(self.scale * (1.0 + faded * (self.fades_to - 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(options: &str, condition: ControlCondition, steps: usize) -> Vec<Option<f64>> {
        let schedule = ControlNetSchedule::new(condition, &serde_json::from_str(options).unwrap());
        let rounded = |scale: f64| (scale * 1e6).round() / 1e6;
        (0..steps).map(|taken| schedule.scale_at(Progress { taken, steps }).map(rounded)).collect()
    }

    #[test]
    fn the_warped_edits_count_less_towards_the_end() {
        assert_eq!(scales("{}", ControlCondition::Inpaint, 6), [1.0, 1.0, 1.0, 1.0, 0.65, 0.3].map(Some));
        assert_eq!(scales("{}", ControlCondition::Inpaint, 1), [Some(1.0)]);
        assert_eq!(scales("{}", ControlCondition::Canny, 3), [Some(0.7); 3]);
    }

    #[test]
    fn outside_its_window_a_network_is_not_run() {
        let options =
            r#"{"conditioning_scale": 1.5, "control_guidance_start": 0.25, "control_guidance_end": 0.75}"#;
        assert_eq!(scales(options, ControlCondition::Depth, 4), [None, Some(1.5), Some(1.5), None]);
    }

    #[test]
    fn published_names_tell_what_a_network_was_trained_on() {
        let named = |name: &str| ControlCondition::recognise(&serde_json::json!({"_name_or_path": name}));
        assert_eq!(named("lllyasviel/control_v11f1p_sd15_depth"), Some(ControlCondition::Depth));
        assert_eq!(named("lllyasviel/control_v11p_sd15_inpaint"), Some(ControlCondition::Inpaint));
        assert_eq!(named("somebody/sketches"), None);
    }
}

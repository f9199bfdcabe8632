//! Named looks: a prompt's words choose them, and they can be computed on any frame.
//!
//! Three stages, each a weighted mean of its looks: the scene (season, light), the medium (drawn, painted,
//! printed), the finish (film, print). So "a pencil sketch of a snowy wood" draws the wood in snow.
//! Which looks there are, and which words ask for them, is data: the `editor/config.json` of a model. What other
//! words mean, a table beside it says, if there is one: `editor/words.safetensors`.

mod drawing;
mod graphic;
mod painterly;
mod painting;
mod photograph;
mod procedural;
mod scene;
mod things;
mod tools;
mod vocabulary;
mod words;

use serde::Deserialize;
use tch::Tensor;

pub use painterly::{Config as PainterlyConfig, Painterly, Statistics};
pub use vocabulary::Understanding;

use words::WordTable;

use crate::{
    conditions::filters::luma,
    torch::Placement,
    weights::{self, Component, ModelFolder, WeightsError},
};

const CLASS: &str = "Looks";

/// `editor/config.json`.
#[derive(Debug, Clone, Deserialize)]
struct Config {
    /// Where the painterly network lies, from the editor's folder.
    painterly: String,
    looks: Vec<LookConfig>,
}

/// One named look.
#[derive(Debug, Clone, Deserialize)]
struct LookConfig {
    name: String,
    stage: Stage,
    /// Words and phrases that ask for it.
    words: Vec<String>,
    /// Words that ask for it where the prompt names no other look of its stage.
    #[serde(default)]
    weak_words: Vec<String>,
    /// Which style of the painterly network it is; without one it is procedural, found by its name.
    style: Option<usize>,
    /// How far the scene's own colours shine through the paint, 0..1.
    #[serde(default)]
    scene_colours: f64,
    /// The procedural look that stands in while the painterly network is not installed.
    instead: Option<String>,
    /// It throws the scene's colours away: they are put back where the prompt asks for a scene too.
    #[serde(default)]
    colourless: bool,
}

/// When a look is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    Scene,
    Medium,
    Finish,
}

/// How a named look is computed.
#[derive(Debug, Clone, Copy)]
enum Source {
    Procedural(procedural::Procedure),
    Style(usize),
}

/// What a prompt asks for: looks and their shares. Empty: nothing, frames stay as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// Index into the looks, share; the shares of a stage sum to 1.
    layers: Vec<(usize, f64)>,
}

impl Look {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

/// Statistics of the anchor that a painterly look keeps for all frames of its shot: otherwise it recolours
/// the whole scene as soon as the scene's content changes.
#[derive(Debug)]
pub struct Frozen(Option<Statistics>);

/// The looks of a model.
#[derive(Debug)]
pub struct Looks {
    config: Config,
    sources: Vec<Source>,
    painterly: Option<Painterly>,
    /// What is understood beyond the list.
    table: Option<WordTable>,
    /// Where the words stand, for warnings.
    list: String,
}

impl Looks {
    /// Reads the model's `editor` and, where it is installed, the painterly network.
    ///
    /// # Errors
    /// A folder without `editor`, a look that does not exist, weights or a table of words that do not fit.
    pub fn load(model: &ModelFolder, placement: Placement) -> Result<Self, WeightsError> {
        Self::open(&model.component("editor")?, placement)
    }

    /// As [`Looks::load`], from the component itself.
    ///
    /// # Errors
    /// See [`Looks::load`].
    pub fn open(editor: &Component, placement: Placement) -> Result<Self, WeightsError> {
        editor.expect_class(&[CLASS])?;
        let config: Config = editor.config()?;
        let list = editor.folder.join("config.json");
        let painterly = load_painterly(&editor.folder.join(&config.painterly), placement)?;
        let styles = painterly.as_ref().map(Painterly::styles);
        let sources = config.looks.iter().map(|look| source(look, styles, &config)).collect::<Result<_, _>>();
        let sources = sources.map_err(|cause| WeightsError::Unreadable { file: list.clone(), cause })?;
        let names: Vec<_> = config.looks.iter().map(|look| look.name.as_str()).collect();
        let table = WordTable::open(&editor.folder.join("words.safetensors"), &names)?;
        Ok(Self { config, sources, painterly, table, list: list.display().to_string() })
    }

    /// The looks' names, in the order of the list.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.config.looks.iter().map(|look| look.name.as_str())
    }

    /// The look of that name alone, for sheets and tests.
    pub fn named(&self, name: &str) -> Option<Look> {
        let index = self.names().position(|found| found == name)?;
        Some(Look { layers: vec![(index, 1.0)] })
    }

    /// Names and shares of what `look` is made of.
    pub fn describe(&self, look: &Look) -> Vec<(&str, f64)> {
        look.layers.iter().map(|&(index, share)| (self.config.looks[index].name.as_str(), share)).collect()
    }

    /// Whether the painterly network has a part in `look`, which then needs the anchor's statistics, see
    /// [`Looks::freeze`].
    pub fn is_painterly(&self, look: &Look) -> bool {
        look.layers.iter().any(|&(index, _)| matches!(self.sources[index], Source::Style(_)))
    }

    /// Whether no medium draws it: the light of a scene and a photograph's finish follow from each frame's own colours, as
    /// steadily as those are.
    pub fn is_light(&self, look: &Look) -> bool {
        self.layers_of(look, Stage::Medium).next().is_none()
    }

    /// The anchor's statistics, for the other frames of its shot.
    ///
    /// - `anchor`: the shot's first source frame, `[1, 3, H, W]`, 0..1
    pub fn freeze(&self, look: &Look, anchor: &Tensor) -> Frozen {
        if !self.is_painterly(look) {
            return Frozen(None);
        }
        let _no_grad = tch::no_grad_guard();
        let scene = self.staged(look, Stage::Scene, anchor, None);
        let styles = self.style_shares(look);
        Frozen(self.painterly.as_ref().map(|network| network.statistics(&scene, &styles)))
    }

    /// The look on `frames`.
    ///
    /// - `frames`: `[n, 3, H, W]`, 0..1
    /// - `strength`: 0 is the source, 1 the whole look
    /// - `frozen`: the statistics of the shot's anchor; without them each frame has its own
    /// - returns `[n, 3, H, W]`, 0..1
    pub fn apply(&self, look: &Look, frames: &Tensor, strength: f64, frozen: Option<&Frozen>) -> Tensor {
        let _no_grad = tch::no_grad_guard();
        let frozen = frozen.and_then(|frozen| frozen.0.as_ref());
        let scene = self.staged(look, Stage::Scene, frames, frozen);
        let medium = self.coloured(look, &self.staged(look, Stage::Medium, &scene, frozen), &scene);
        let finish = self.staged(look, Stage::Finish, &medium, frozen);
        (frames + (finish - frames) * strength).clamp(0.0, 1.0)
    }

    /// The mean of one stage's looks; `frames` where the prompt asks for none.
    fn staged(&self, look: &Look, stage: Stage, frames: &Tensor, frozen: Option<&Statistics>) -> Tensor {
        let mut layers: Vec<(Tensor, f64)> = Vec::new();
        for (index, share) in self.layers_of(look, stage) {
            if let Source::Procedural(procedure) = self.sources[index] {
                layers.push((procedure(frames).clamp(0.0, 1.0), share));
            }
        }
        let styles = if stage == Stage::Medium { self.style_shares(look) } else { Vec::new() };
        if let (Some(network), false) = (&self.painterly, styles.is_empty()) {
            let share = styles.iter().map(|(_, share)| share).sum();
            let painted = network.forward(frames, &styles, frozen);
            layers.push((tools::glazed(&painted, frames, self.scene_colours(look) / share), share));
        }
        let blended =
            layers.into_iter().map(|(picture, share)| picture * share).reduce(|sum, more| sum + more);
        blended.unwrap_or_else(|| frames.shallow_clone())
    }

    /// A colourless medium takes on the colours of the scene that was asked for with it.
    fn coloured(&self, look: &Look, medium: &Tensor, scene: &Tensor) -> Tensor {
        const COLOUR: f64 = 0.75;
        if self.layers_of(look, Stage::Scene).next().is_none() {
            return medium.shallow_clone();
        }
        let colourless: f64 = self
            .layers_of(look, Stage::Medium)
            .filter(|&(index, _)| self.config.looks[index].colourless)
            .map(|(_, share)| share)
            .sum();
        let colours = tools::blur(&(scene - luma(scene)), 1.5);
        (medium + colours * (COLOUR * colourless)).clamp(0.0, 1.0)
    }

    /// How far the scene's colours shine through what the painterly network makes, times its share of the medium.
    fn scene_colours(&self, look: &Look) -> f64 {
        let painted =
            look.layers.iter().filter(|&&(index, _)| matches!(self.sources[index], Source::Style(_)));
        painted.map(|&(index, share)| self.config.looks[index].scene_colours * share).sum()
    }

    fn layers_of(&self, look: &Look, stage: Stage) -> impl Iterator<Item = (usize, f64)> {
        look.layers.iter().copied().filter(move |&(index, _)| self.config.looks[index].stage == stage)
    }

    /// The painterly network's styles and their shares of the medium.
    fn style_shares(&self, look: &Look) -> Vec<(usize, f64)> {
        let style = |&(index, share): &(usize, f64)| match self.sources[index] {
            Source::Style(style) => Some((style, share)),
            Source::Procedural(_) => None,
        };
        look.layers.iter().filter_map(style).collect()
    }
}

fn load_painterly(folder: &std::path::Path, placement: Placement) -> Result<Option<Painterly>, WeightsError> {
    if !folder.join("config.json").is_file() {
        return Ok(None);
    }
    weights::load(&Component::open(folder.into())?, placement, Painterly::new).map(Some)
}

/// How a look is computed, now that `styles` of the painterly network are there, or none.
fn source(look: &LookConfig, styles: Option<usize>, config: &Config) -> Result<Source, String> {
    if !(0.0..=1.0).contains(&look.scene_colours) {
        return Err(format!(
            "the look `{}` has `scene_colours` of {}: 0 to 1",
            look.name, look.scene_colours
        ));
    }
    let procedural = |name: &str| {
        let known = procedural::find(name).map(Source::Procedural);
        known.ok_or_else(|| format!("the look `{name}` is neither procedural nor has it a `style`"))
    };
    match (look.style, styles) {
        (None, _) => procedural(&look.name),
        (Some(_), _) if look.stage != Stage::Medium => {
            Err(format!("the painterly look `{}` must be of the stage `medium`", look.name))
        }
        (Some(style), Some(styles)) if style < styles => Ok(Source::Style(style)),
        (Some(style), Some(styles)) => {
            Err(format!("the look `{}` asks for style {style} of {styles}", look.name))
        }
        (Some(_), None) => {
            let instead = look.instead.as_deref().unwrap_or_default();
            let known = config.looks.iter().any(|other| other.name == instead);
            let absent = || format!("the painterly look `{}` names no `instead` of the list", look.name);
            if known { procedural(instead) } else { Err(absent()) }
        }
    }
}

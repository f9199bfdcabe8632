//! `manifest.json`: which files of which repositories make a model.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

/// The sources of a model.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    pub sources: Vec<Source>,
}

/// Files of one repository.
#[derive(Debug, Clone, Deserialize)]
pub struct Source {
    /// `owner/name`
    pub repository: String,
    /// A commit, so that the files are always the same ones.
    pub revision: String,
    pub licence: String,
    /// Where its text stands.
    pub licence_url: String,
    pub files: Vec<SourceFile>,
}

/// One file.
#[derive(Debug, Clone, Deserialize)]
pub struct SourceFile {
    /// In the repository.
    pub file: String,
    /// In the model's folder.
    pub to: String,
    /// Bytes, where they are published.
    pub size: Option<u64>,
    /// Where it is published. The hub's own is compared in any case.
    pub sha256: Option<String>,
}

impl Manifest {
    /// Reads `folder/manifest.json`.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = folder.join("manifest.json");
        let text = fs::read_to_string(&file)
            .with_context(|| format!("{} cannot be read: is there a model of that name?", file.display()))?;
        serde_json::from_str(&text).with_context(|| {
            format!(
                "{} lists no sources: the weights of this model are not fetched from a hub",
                file.display()
            )
        })
    }

    /// What the user has to know before anything is fetched, a line each.
    pub fn licences(&self) -> String {
        let line = |source: &Source| {
            let Source { repository, licence, licence_url, .. } = source;
            format!("{repository}: {licence}, {licence_url}\n")
        };
        self.sources.iter().map(line).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

//! From the hub's cache and the source tree into the folder of a model.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::{
    FetchError, Hub,
    manifest::{Manifest, Source, SourceFile},
};

/// Components that the model borrows where it is used, so they are not copied.
const BORROWED: [&str; 3] = ["flow", "interpolation", "editor"];

/// Fills `folder` with all that the manifest lists, and with the configs that lie beside the manifest in `own`. What is
/// there already and has its checksum is left alone.
///
/// - `accept`: whether somebody accepts the licences that it is given
/// - `tell`: is given a line a file
pub fn install(
    manifest: &Manifest,
    own: &Path,
    hub: &Hub,
    folder: &Path,
    accept: impl FnOnce(&str) -> Result<bool>,
    tell: impl Fn(&str),
) -> Result<()> {
    if !accept(&manifest.licences())? {
        bail!("the licences were not accepted: nothing was fetched");
    }
    for source in &manifest.sources {
        for file in &source.files {
            let target = folder.join(&file.to);
            if is_there(&target, file)? {
                tell(&format!("{}: already there", file.to));
                continue;
            }
            let fetched = checked(hub, source, file)?;
            place(&fetched, &target).with_context(|| format!("{} cannot be written", target.display()))?;
            tell(&format!("{}: {}", file.to, if file.sha256.is_some() { "checked" } else { "fetched" }));
        }
    }
    copy_configs(own, folder).with_context(|| format!("{} cannot be filled", folder.display()))
}

/// Last comes `model_index.json`: a folder without it is no model, so a broken-off installation is none.
fn copy_configs(own: &Path, folder: &Path) -> io::Result<()> {
    let mut files = json_files(own, Path::new(""))?;
    files.sort_by_key(|file| file == Path::new("model_index.json"));
    for file in files {
        let target = folder.join(&file);
        if file != Path::new("manifest.json") && !target.exists() {
            fs::create_dir_all(target.parent().unwrap_or(folder))?;
            fs::copy(own.join(&file), target)?;
        }
    }
    Ok(())
}

fn json_files(root: &Path, inside: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in fs::read_dir(root.join(inside))? {
        let entry = entry?;
        let path = inside.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if !BORROWED.iter().any(|borrowed| path == Path::new(borrowed)) {
                files.extend(json_files(root, &path)?);
            }
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(files)
}

fn is_there(target: &Path, file: &SourceFile) -> Result<bool> {
    match &file.sha256 {
        _ if !target.is_file() => Ok(false),
        Some(expected) => Ok(&sha256(target)? == expected),
        None => Ok(file.size.is_none_or(|size| target.metadata().is_ok_and(|found| found.len() == size))),
    }
}

/// The file in the cache, compared with the manifest's checksum and with the hub's own, which is the name that the cache
/// keeps large files under. What differs is removed, so that the next run fetches it again.
fn checked(hub: &Hub, source: &Source, file: &SourceFile) -> Result<PathBuf> {
    let pointer = hub.get(source, &file.file)?;
    let blob = pointer.canonicalize()?;
    let name = blob.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let hubs = is_sha256(name).then(|| name.to_owned());
    let expected = [hubs, file.sha256.clone()];
    if expected.iter().flatten().next().is_none() {
        return Ok(blob);
    }
    let found = sha256(&blob)?;
    match expected.into_iter().flatten().find(|expected| *expected != found) {
        None => Ok(blob),
        Some(expected) => {
            fs::remove_file(&pointer)?;
            fs::remove_file(&blob)?;
            Err(FetchError::Checksum { file: file.file.clone(), found, expected }.into())
        }
    }
}

fn is_sha256(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|letter| letter.is_ascii_hexdigit())
}

/// The same bytes on the disk where that can be, so that several gigabytes do not lie there twice; the file appears whole.
fn place(fetched: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir_all(target.parent().unwrap_or(Path::new("")))?;
    let unfinished = target.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_file(&unfinished)?;
    }
    if fs::hard_link(fetched, &unfinished).is_err() {
        fs::copy(fetched, &unfinished)?;
    }
    fs::rename(unfinished, target)
}

/// In hexadecimal.
pub fn sha256(file: &Path) -> Result<String> {
    let mut opened = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match opened.read(&mut buffer)? {
            0 => return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => digest.update(&buffer[..read]),
        }
    }
}

//! The manifest: a file on each managed host that says what lvsctl put there.
//!
//! It is a resource like any other, observed and written by its own kind, so that a manifest that somebody removed shows
//! up in the next plan. What it is to contain depends on everything else and is therefore not compiled here but by
//! `diff::ownership`.

use serde::Deserialize;

use super::{Context, Kind, ParseError, Scope, Site};
use crate::effect::{Answer, Effect, Probe};
use crate::resource::{Change, Entry, Manifest, Resource, ResourceKey};
use crate::source::Problems;
use crate::topology::{Host, SecretText};

/// Where the manifest is.
pub const PATH: &str = "/var/lib/lvsctl/manifest.json";
/// The version of the manifest's format.
const FORMAT_VERSION: &str = "1.0";
/// Readable by root alone: the digests in it are of files that hold secrets.
const MODE: u32 = 0o600;

/// The kind of the manifest.
pub struct ManifestKind;

#[derive(Deserialize)]
struct Document {
    format_version: String,
    entries: Manifest,
}

impl Kind for ManifestKind {
    fn name(&self) -> &'static str {
        "manifest"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::Manifest)
    }

    fn compile(&self, _site: &Site<'_>, _host: &Host, _problems: &mut Problems) -> Vec<Entry> {
        Vec::new()
    }

    fn probes(&self, _scope: &Scope<'_>) -> Vec<Probe> {
        vec![Probe::File(PATH.to_owned())]
    }

    fn parse(&self, _scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let Some(Answer::File(_, Some(file))) = answers.first() else {
            return Ok(Vec::new());
        };
        let unreadable = |message: String| ParseError { kind: "manifest", message: format!("{PATH}: {message}") };
        let document: Document =
            serde_json::from_str(&file.text).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        if document.format_version != FORMAT_VERSION {
            return Err(unreadable(format!(
                "has format version {:?}, and this lvsctl knows {FORMAT_VERSION:?}",
                document.format_version
            )));
        }
        let manifest = Manifest { is_exposed: file.mode != MODE, ..document.entries };
        Ok(vec![Entry::new(ResourceKey::Manifest, Resource::Manifest(manifest))])
    }

    fn effects(&self, change: &Change, _context: &Context<'_>) -> Vec<Effect> {
        match &change.after {
            Some(Resource::Manifest(manifest)) => vec![write(manifest)],
            _ => vec![Effect::RemoveFile { path: PATH.to_owned() }],
        }
    }
}

/// Returns the effect that writes a manifest: JSON with a line a thing, so that it can be searched and is not long.
pub fn write(manifest: &Manifest) -> Effect {
    let lines = manifest.lines().map(|line| serde_json::to_string(&line).unwrap_or_default());
    let mut text = format!("{{\"format_version\": {FORMAT_VERSION:?}, \"entries\": [");
    for (at, line) in lines.enumerate() {
        text.push_str(if at == 0 { "\n" } else { ",\n" });
        text.push_str(&line);
    }
    text.push_str("\n]}\n");
    Effect::WriteFile {
        path: PATH.to_owned(),
        text: SecretText::plain(text),
        mode: MODE,
        keepalived_test: false,
        keep_previous: false,
    }
}

//! A journal on the disk: made, appended to, read, removed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::record::{self, Head, Lines, Record};
use crate::host::files::Files;
use crate::host::{HostError, Phase, TakenBack};

/// The folder, which only root may look into.
pub(super) const FOLDER: &str = "/var/lib/lvsctl/journal";
/// The journal of the transaction that is open.
const JOURNAL: &str = "/var/lib/lvsctl/journal/transaction";
/// The same before it is in place.
const NEW: &str = "/var/lib/lvsctl/journal/transaction.new";
/// What was taken back last.
const LAST: &str = "/var/lib/lvsctl/journal/last.json";
/// Held by the watchdog while it watches.
pub(super) const WATCHDOG: &str = "/var/lib/lvsctl/journal/watchdog";

/// How long between two looks at a lock that somebody has.
const PAUSE: Duration = Duration::from_millis(20);

/// A journal that this process has open.
pub(in crate::host) struct Journal {
    file: File,
    place: PathBuf,
    /// How long it is if nobody else has written to it.
    length: u64,
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A program that is being started has the file open too until it is executed, and would keep the lock for so long.
        self.unlock();
    }
}

impl Journal {
    /// Makes a journal and puts it in place; both it and its place are on the disk then.
    pub(in crate::host) fn create(files: &Files, head: &Head) -> Result<Self, HostError> {
        let failed = |error: io::Error| HostError::file("write", JOURNAL, &error);
        let (new, place, folder) = (files.locate(NEW)?, files.locate(JOURNAL)?, files.locate(FOLDER)?);
        files.make_folder_of(JOURNAL)?;
        let made = || {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).append(true).create(true).mode(0o600).open(&new)?;
            // A crash may have left one that was never put in place.
            file.set_len(0)?;
            let line = record::line(&Record::Head(Box::new(head.clone())));
            file.write_all(line.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &place)?;
            // Its folder, that one's, and the one that holds both: they may be as new as the journal.
            for folder in folder.ancestors().take(3) {
                File::open(folder)?.sync_all()?;
            }
            Ok(Journal { file, place: place.clone(), length: line.len() as u64 })
        };
        made().map_err(|error| {
            // Nothing was performed, and nothing is to be taken back.
            let _ = fs::remove_file(&new);
            failed(error)
        })
    }

    /// Opens the journal that is there, if one is.
    pub(in crate::host) fn open(files: &Files) -> Result<Option<Self>, HostError> {
        let place = files.locate(JOURNAL)?;
        match OpenOptions::new().read(true).append(true).open(&place) {
            Ok(file) => Ok(Some(Journal { file, place, length: 0 })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(HostError::file("read", JOURNAL, &error)),
        }
    }

    /// Takes the journal's lock, waiting so long for whoever has it; tells whether it was to be had. It goes with the file.
    pub(in crate::host) fn lock(&self, patience: Duration) -> Result<bool, HostError> {
        let deadline = Instant::now() + patience;
        loop {
            match self.file.try_lock() {
                Ok(()) => return Ok(true),
                Err(TryLockError::Error(error)) => return Err(HostError::file("lock", JOURNAL, &error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Ok(false),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Lets go of the journal's lock.
    pub(in crate::host) fn unlock(&self) {
        // One that cannot be released goes with the file.
        let _ = self.file.unlock();
    }

    /// Tells whether it is still in its place, and not closed or taken back.
    pub(in crate::host) fn is_in_place(&self) -> bool {
        let (own, there) = (self.file.metadata(), fs::metadata(&self.place));
        matches!((own, there), (Ok(own), Ok(there)) if (own.dev(), own.ino()) == (there.dev(), there.ino()))
    }

    /// Tells whether nobody else has written to it since this process did.
    pub(in crate::host) fn is_own(&self) -> bool {
        self.is_in_place() && self.file.metadata().is_ok_and(|data| data.len() == self.length)
    }

    /// Adds a record. One that must be `safe` is on the disk when this returns.
    pub(in crate::host) fn append(&mut self, record: &Record, safe: bool) -> Result<(), HostError> {
        let line = record::line(record);
        let before = self.without_torn_end().map_err(|error| HostError::file("write", JOURNAL, &error))?;
        let written = self.file.write_all(line.as_bytes());
        let written = written.and_then(|()| if safe { self.file.sync_data() } else { Ok(()) });
        written.map_err(|error| {
            // Half a line would hide what is added to it later.
            let _ = self.file.set_len(before);
            HostError::file("write", JOURNAL, &error)
        })?;
        self.length = before + line.len() as u64;
        Ok(())
    }

    /// Takes away half a line at its end, which would make one with what comes after it; returns how long it is then.
    fn without_torn_end(&self) -> io::Result<u64> {
        let length = self.file.metadata()?.len();
        let mut last = [0];
        if length == 0 || self.file.read_exact_at(&mut last, length - 1).is_ok_and(|()| last == *b"\n") {
            return Ok(length);
        }
        let bytes = self.bytes()?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end as u64 + 1);
        self.file.set_len(whole)?;
        Ok(whole)
    }

    /// Reads all of it.
    pub(in crate::host) fn read(&self) -> Result<Content, HostError> {
        Content::of(&self.bytes().map_err(|error| HostError::file("read", JOURNAL, &error))?)
    }

    /// Reads what it is about and how far it is, without the texts that take things back: there may be many of them.
    pub(in crate::host) fn glance(&self) -> Result<Content, HostError> {
        let bytes = self.bytes().map_err(|error| HostError::file("read", JOURNAL, &error))?;
        Content::of(&record::outline(&bytes))
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Takes it out of its place, for good: the texts in it are gone.
    pub(in crate::host) fn remove(self, files: &Files) -> Result<(), HostError> {
        if self.is_in_place() {
            let failed = |error: io::Error| HostError::file("remove", JOURNAL, &error);
            fs::remove_file(&self.place).map_err(failed)?;
            let folder = files.locate(FOLDER)?;
            File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(())
    }
}

/// What a journal says.
pub(in crate::host) struct Content {
    /// What it is about.
    pub(in crate::host) head: Head,
    /// The rest of it.
    pub(in crate::host) records: Vec<Record>,
    /// Whether some of it, and not only its end, could not be read.
    pub(in crate::host) is_damaged: bool,
}

impl Content {
    pub(super) fn of(bytes: &[u8]) -> Result<Self, HostError> {
        let Lines { records, is_damaged, is_foreign } = record::read(bytes);
        let malformed =
            |text: &str| HostError::Io { doing: "understand".into(), path: JOURNAL.into(), text: text.into() };
        let mut records = records.into_iter();
        let foreign = || {
            let build = record::build_of(bytes);
            malformed(&format!("lvsctl {build} has written it, whose `lvsctl recover` takes it back"))
        };
        if is_foreign {
            return Err(foreign());
        }
        match records.next() {
            Some(Record::Head(head)) if head.version == record::VERSION => {
                Ok(Content { head: *head, records: records.collect(), is_damaged })
            }
            Some(Record::Head(_)) => Err(foreign()),
            _ => Err(malformed("it has no head")),
        }
    }

    /// Tells how far the transaction is.
    pub(in crate::host) fn phase(&self) -> Phase {
        let last = self.records.iter().rev().find_map(|record| match record {
            Record::Reverting => Some(Phase::Reverting),
            Record::Confirmed => Some(Phase::Confirmed),
            _ => None,
        });
        last.unwrap_or(Phase::Open)
    }
}

/// Returns what was taken back last.
pub(in crate::host) fn last(files: &Files) -> Result<Option<TakenBack>, HostError> {
    // One that cannot be understood says that something was taken back, but not what; the plan says what is there.
    Ok(files.read(LAST)?.and_then(|file| serde_json::from_str(&file.text).ok()))
}

/// Notes what was taken back. It holds no text of a file.
pub(in crate::host) fn note_last(files: &Files, last: &TakenBack) -> Result<(), HostError> {
    let text = serde_json::to_string(last).unwrap_or_default() + "\n";
    files.write(LAST, &text, 0o600, false, |_| Ok(()))
}

/// Forgets what was taken back last, and the folder with it if nothing else is there.
pub(in crate::host) fn forget_last(files: &Files) -> Result<(), HostError> {
    let place = files.locate(LAST)?;
    match fs::remove_file(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(HostError::file("remove", LAST, &error)),
        _ => tidy(files),
    }
}

/// Removes the folder if nothing is in it.
pub(in crate::host) fn tidy(files: &Files) -> Result<(), HostError> {
    if !is_watched(files)? {
        let _ = fs::remove_file(files.locate(WATCHDOG)?);
    }
    // One that cannot be removed has something in it.
    let _ = fs::remove_dir(files.locate(FOLDER)?);
    Ok(())
}

/// Tells whether a watchdog watches.
pub(in crate::host) fn is_watched(files: &Files) -> Result<bool, HostError> {
    match OpenOptions::new().write(true).open(files.locate(WATCHDOG)?) {
        Ok(file) => {
            let is_held = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
            // A program that is being started has the file open too, and the next look would find a watchdog that is none.
            let _ = file.unlock();
            Ok(is_held)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(HostError::file("lock", WATCHDOG, &error)),
    }
}

/// Takes the lock that says that a watchdog watches. The last one may not have gone yet.
pub(in crate::host) fn watch(files: &Files, patience: Duration) -> Result<File, HostError> {
    let failed = |error: io::Error| HostError::file("lock", WATCHDOG, &error);
    let place = files.locate(WATCHDOG)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(place).map_err(failed)?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(HostError::Timeout {
                    doing: "wait for an earlier watchdog to end".into(),
                    within: patience,
                });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
        }
    }
}

//! `dev`: the same as `run`, again at each change of the files.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use clap::Args;
use notify::{RecursiveMode, Watcher};

use super::apply::{Ready, read};
use super::output::say;
use super::run::{Circumstances, print_lines, report};
use crate::registry::{Digest, JobFile};
use crate::runtime::Interrupt;
use crate::text::plain_message;

/// How long files have to be left alone before they are read: what builds them writes more than once.
const SETTLED: Duration = Duration::from_millis(200);

/// How many more changes are waited for at the most: something may write there all the time.
const MAX_UNSETTLED: usize = 1000;

#[derive(Debug, Args)]
pub(super) struct Dev {
    #[command(flatten)]
    circumstances: Circumstances,
}

/// What stood in the files.
#[derive(PartialEq, Eq)]
struct Seen {
    files: [PathBuf; 2],
    digests: [Option<Digest>; 2],
}

impl Dev {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (tell, changes) = channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // A watch that fails is as good as a change: the files are looked at.
            if event.as_ref().map_or(true, |event| !event.kind.is_access()) {
                let _ = tell.send(());
            }
        })?;
        loop {
            let seen = self.watch(&mut watcher)?;
            let interrupt = Interrupt::default();
            thread::scope(|scope| -> anyhow::Result<()> {
                let run = scope.spawn(|| self.once(interrupt.clone()));
                let waited = self.wait(&seen, &changes, &mut watcher);
                interrupt.kill();
                run.join().expect("a run doesn't panic").and(waited)
            })?;
        }
    }

    fn once(&self, interrupt: Interrupt) -> anyhow::Result<()> {
        let file = &self.circumstances.file;
        let went = read(file).and_then(|Ready { spec, component }| {
            say(&format!("---- {}, with `{}`", spec.id, component.file.display()))?;
            self.circumstances.rehearse(Ready { spec, component }, print_lines(), interrupt.clone())
        });
        match went {
            _ if interrupt.is_killed() => say("stopped: a file has changed")?,
            Ok(went) => say(&report(&went))?,
            Err(error) => say(&plain_message(&format!("{error:#}")))?,
        }
        if !interrupt.is_killed() {
            say(&format!("---- waiting for a change of `{}` or its component", file.display()))?;
        }
        Ok(())
    }

    /// Returns when the files are no longer as they were seen.
    fn wait(&self, seen: &Seen, changes: &Receiver<()>, watcher: &mut impl Watcher) -> anyhow::Result<()> {
        loop {
            changes.recv()?;
            let mut more = 0;
            while more < MAX_UNSETTLED && changes.recv_timeout(SETTLED).is_ok() {
                more += 1;
            }
            if self.watch(watcher)? != *seen {
                return Ok(());
            }
        }
    }

    /// Watches the folders of both files, or as much of their paths as there is; gives what stands in the files after that.
    fn watch(&self, watcher: &mut impl Watcher) -> anyhow::Result<Seen> {
        let file = self.circumstances.file.clone();
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let component = JobFile::parse(&text, folder(&file)).map(|job| job.component).unwrap_or_default();
        let files = [file, component];
        for file in files.iter().filter(|file| !file.as_os_str().is_empty()) {
            let nearest = || folder(file).ancestors().map(this_one_if_empty).find(|folder| folder.is_dir());
            // Each time anew: a folder that was removed and made again is another. Until it is the nearest still: one below may
            // have been made meanwhile.
            let mut watched = None;
            while let Some(folder) = nearest()
                && watched != Some(folder)
            {
                match watcher.watch(folder, RecursiveMode::NonRecursive) {
                    Err(error) if folder.is_dir() => return Err(error.into()),
                    Ok(()) | Err(_) => watched = Some(folder),
                }
            }
        }
        let digests = files.each_ref().map(|file| std::fs::read(file).ok().map(|bytes| Digest::of(&bytes)));
        Ok(Seen { files, digests })
    }
}

fn folder(file: &Path) -> &Path {
    this_one_if_empty(file.parent().unwrap_or(Path::new("")))
}

fn this_one_if_empty(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

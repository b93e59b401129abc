//! A small file system for one node: a file on the machine's disk, formatted and mounted, so that it
//! can be full while the machine is not.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use replication::{rocks::RocksDisk, world::Disk as _};

use super::linux;

/// How large it is. Little of it is ever written.
const SIZE: u64 = 512 << 20;
/// The file that takes the room.
const FILLER: &str = "filler";
/// The least that is taken at a time.
const BLOCK: u64 = 4 << 10;

/// A mounted file system. Unmounted when this is dropped.
#[derive(Debug)]
pub(super) struct Volume {
    image: PathBuf,
    at: PathBuf,
}

impl Volume {
    /// Makes `image` and mounts it at `at`.
    pub(super) fn mount(image: &Path, at: &Path) -> io::Result<Self> {
        File::create(image)?.set_len(SIZE)?;
        let mut format = Command::new("mkfs.ext4");
        run(format.args(["-q", "-F", "-m", "0"]).arg(image))?;
        fs::create_dir_all(at)?;
        let volume = Self {
            image: image.to_owned(),
            at: at.to_owned(),
        };
        volume.power_on()?;
        Ok(volume)
    }

    /// Whatever was not synced is lost, and nothing can be read or written until power is back.
    pub(super) fn lose_power(&self) -> io::Result<()> {
        linux::shut_down(&File::open(&self.at)?)
    }

    /// Power is back, and nobody uses the file system any more: it is as its journal says.
    pub(super) fn recover(&self) -> io::Result<()> {
        run(Command::new("umount").arg(&self.at))?;
        self.power_on()
    }

    fn power_on(&self) -> io::Result<()> {
        let mut mount = Command::new("mount");
        run(mount.args(["-o", "loop"]).args([&self.image, &self.at]))
    }

    /// Takes all room but so much.
    pub(super) fn fill(&self, leaves: u64) -> io::Result<()> {
        let file = File::create(self.at.join(FILLER))?;
        let mut taken = 0;
        let mut next = self.free()?.saturating_sub(leaves);
        while next >= BLOCK {
            match linux::reserve(&file, taken, next) {
                Ok(()) => taken += next,
                // What keeps account of the room takes some, too.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
                Err(error) => return Err(error),
            }
            next = match leaves {
                0 => next / 2,
                _ => self.free()?.saturating_sub(leaves).min(next / 2),
            };
        }
        Ok(())
    }

    /// Gives it back.
    pub(super) fn make_room(&self) -> io::Result<()> {
        match fs::remove_file(self.at.join(FILLER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn free(&self) -> io::Result<u64> {
        let room = RocksDisk::new(self.at.clone()).room();
        room.map(|room| room.free)
            .ok_or_else(|| io::Error::other("the file system does not tell what is free"))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // A process that was killed may still hold it: then it goes when that has ended.
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.at));
    }
}

/// Runs a program of the system.
fn run(command: &mut Command) -> io::Result<()> {
    let ended = command.stdin(Stdio::null()).output()?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let program = command.get_program().to_string_lossy();
    Err(io::Error::other(format!("{program}: {}", said.trim())))
}

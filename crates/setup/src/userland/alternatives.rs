// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Names such as `awk` that several packages offer: update-alternatives(1) makes them
//! links to the offer of the highest priority.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::configure::{is_there, make_folder};
use super::script;
use crate::disk;
use crate::error::{Error, Result};

/// An offer: where it leads, and links that follow it, as link, name and target.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    priority: i64,
    links: Vec<(String, String, String)>,
}

/// Makes the links that the scripts ask for.
pub(super) fn choose(root: &Path, scripts: &[String]) -> Result<()> {
    let mut best: BTreeMap<String, Offer> = BTreeMap::new();
    let commands =
        scripts.iter().flat_map(|script| script::commands(script, &["update-alternatives"]));
    for (name, offer) in commands.filter_map(|command| offered(&command)) {
        if best.get(&name).is_none_or(|other| other.priority < offer.priority) {
            best.insert(name, offer);
        }
    }
    for (link, name, target) in best.into_values().flat_map(|offer| offer.links) {
        let Some(path) = below(root, &link) else { continue };
        // A manual page was left out, or the package has changed its mind.
        if !below(root, &target).is_some_and(|target| target.exists()) || is_there(&path) {
            continue;
        }
        let choice = root.join("etc/alternatives").join(&name);
        for (place, leads_to) in
            [(&choice, target.clone()), (&path, format!("/etc/alternatives/{name}"))]
        {
            if let Some(folder) = place.parent() {
                make_folder(folder)?;
            }
            disk::remove(place)?;
            symlink(leads_to, place).map_err(Error::file("cannot link", place))?;
        }
    }
    Ok(())
}

/// Reads `--install LINK NAME TARGET PRIORITY [--slave LINK NAME TARGET]...`.
fn offered(command: &[String]) -> Option<(String, Offer)> {
    let at = |word: &str| command.iter().position(|found| found == word);
    let own = command.get(at("--install")? + 1..)?;
    let [link, name, target, priority, rest @ ..] = own else { return None };
    let mut links = vec![(link.clone(), name.clone(), target.clone())];
    for follower in rest.chunk_by(|_, next| next != "--slave" && next != "--follower") {
        if let [_, link, name, target, ..] = follower {
            links.push((link.clone(), name.clone(), target.clone()));
        }
    }
    Some((name.clone(), Offer { priority: priority.parse().ok()?, links }))
}

/// An absolute path of the guest as one below `root`; names and paths are the package's.
fn below(root: &Path, path: &str) -> Option<PathBuf> {
    let relative = path.strip_prefix('/')?;
    (!relative.split('/').any(|part| part == "..")).then(|| root.join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_highest_priority_wins_and_followers_follow() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        put("usr/bin/mawk");
        put("usr/bin/gawk");
        put("usr/share/gawk.txt");
        put("usr/bin/taken");
        // As in Debian's mawk, over several lines.
        let mawk = "update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n\
                    \t--slave /usr/share/awk.txt awk.txt /usr/share/mawk.txt\n";
        let gawk = "update-alternatives --install /usr/bin/awk awk /usr/bin/gawk 10 \\\n  \
                    --slave /usr/share/awk.txt awk.txt /usr/share/gawk.txt \\\n  \
                    --slave /usr/share/none none /usr/share/none\n\
                    update-alternatives --install /usr/bin/taken taken /usr/bin/mawk 1\n\
                    update-alternatives --install /usr/bin/../x x /usr/bin/mawk 1\n";
        choose(root.path(), &[gawk.into(), mawk.into()]).unwrap();
        let link = |path: &str| fs::read_link(root.path().join(path)).ok();
        assert_eq!(link("usr/bin/awk"), Some("/etc/alternatives/awk".into()));
        assert_eq!(link("etc/alternatives/awk"), Some("/usr/bin/gawk".into()));
        assert_eq!(link("etc/alternatives/awk.txt"), Some("/usr/share/gawk.txt".into()));
        assert_eq!(link("usr/share/none"), None);
        assert_eq!(link("usr/bin/taken"), None, "what a package has stays");
        // For everybody in the guest, whatever the umask of this process.
        let made = fs::metadata(root.path().join("etc/alternatives")).unwrap();
        assert_eq!(made.permissions().mode() & 0o777, 0o755);
    }
}

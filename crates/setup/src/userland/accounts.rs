// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Users and groups: Debian's own, and those that packages ask for, in their maintainer
//! scripts (adduser(8)) or by a file of sysusers.d(5).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::configure::write;
use super::script;
use crate::disk;
use crate::error::{Error, Result};

/// The first number of those that packages get (adduser.conf(5), FIRST_SYSTEM_UID).
const FIRST_SYSTEM_ID: u32 = 100;
/// Debian's group for users that have none of their own.
const NOGROUP: u32 = 65_534;

/// Options of adduser that are followed by a value.
const WITH_VALUE: [&str; 12] = [
    "--home",
    "--shell",
    "--uid",
    "--gid",
    "--ingroup",
    "--gecos",
    "--comment",
    "--conf",
    "--group-id",
    "--firstuid",
    "--lastuid",
    "--add_extra_groups",
];

/// Writes `passwd`, `group` and `shadow`.
pub(super) fn make(root: &Path, scripts: &[String]) -> Result<()> {
    let mut accounts = Accounts::of_debian(root)?;
    for file in sysusers_files(root)? {
        accounts.take_sysusers(&file);
    }
    for script in scripts {
        for command in script::commands(script, &["adduser", "addgroup"]) {
            accounts.take_command(&command);
        }
    }
    accounts.write(root)
}

#[derive(Debug, Default)]
struct Accounts {
    /// Lines of passwd(5).
    users: Vec<String>,
    /// Lines of group(5).
    groups: Vec<String>,
}

#[derive(Debug, Default)]
struct User<'a> {
    name: &'a str,
    id: Option<u32>,
    group: Option<u32>,
    comment: &'a str,
    home: &'a str,
    shell: &'a str,
}

impl Accounts {
    /// Those of every Debian system, which base-passwd keeps as templates.
    fn of_debian(root: &Path) -> Result<Self> {
        let lines = |name: &str| -> Result<Vec<String>> {
            let path = root.join("usr/share/base-passwd").join(name);
            let text = fs::read_to_string(&path).map_err(Error::file("cannot read", &path))?;
            Ok(text.lines().map(|line| line.replacen(":*:", ":x:", 1)).collect())
        };
        Ok(Self { users: lines("passwd.master")?, groups: lines("group.master")? })
    }

    /// Lines as `u NAME ID "COMMENT" HOME SHELL` and `g NAME ID`; `-` stands for nothing.
    fn take_sysusers(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let Some(words) = shlex::split(line) else { continue };
            let word = |index: usize| {
                words.get(index).map(String::as_str).filter(|word| *word != "-").unwrap_or_default()
            };
            let (own, group) = word(2).split_once(':').unwrap_or((word(2), ""));
            match word(0).trim_end_matches('!') {
                "u" => {
                    let group = group.parse().ok().or_else(|| self.group(group));
                    self.add_user(&User {
                        name: word(1),
                        id: own.parse().ok(),
                        group,
                        comment: word(3),
                        home: word(4),
                        shell: word(5),
                    });
                }
                "g" => {
                    self.add_group(word(1), own.parse().ok());
                }
                _ => {}
            }
        }
    }

    /// `adduser [options] USER`, `addgroup [options] GROUP`; with two names a user joins
    /// a group.
    fn take_command(&mut self, command: &[String]) {
        let mut names = Vec::new();
        let mut user = User::default();
        let mut own_group = command.first().is_some_and(|program| program == "addgroup");
        let mut words = command.iter().skip(1);
        while let Some(word) = words.next() {
            if !word.starts_with('-') {
                names.push(word.as_str());
                continue;
            }
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, value),
                None if WITH_VALUE.contains(&word.as_str()) => {
                    (word.as_str(), words.next().map_or("", String::as_str))
                }
                None => (word.as_str(), ""),
            };
            match option {
                "--group" => own_group = true,
                "--uid" | "--gid" if value.parse::<u32>().is_ok() => user.id = value.parse().ok(),
                "--ingroup" => user.group = self.group(value),
                "--home" => user.home = value,
                "--shell" => user.shell = value,
                "--gecos" | "--comment" => user.comment = value,
                _ => {}
            }
        }
        match (command.first().map(String::as_str), names.as_slice()) {
            (Some("addgroup"), [name]) => {
                self.add_group(name, user.id);
            }
            (Some("adduser"), [name]) => {
                user.name = name;
                if user.group.is_none() && !own_group {
                    user.group = Some(NOGROUP);
                }
                self.add_user(&user);
            }
            (Some("adduser" | "addgroup"), [name, group]) => self.join(name, group),
            _ => {}
        }
    }

    fn add_user(&mut self, user: &User<'_>) {
        if !is_name(user.name) || find(&self.users, user.name).is_some() {
            return;
        }
        let id = user.id.unwrap_or_else(|| free(&self.users, &self.groups));
        let group = match user.group {
            Some(group) => group,
            None => self.add_group(user.name, Some(id)),
        };
        let or = |text: &str, other: &str| {
            let text: String = text.chars().filter(|c| *c != ':' && !c.is_control()).collect();
            if text.is_empty() { other.to_owned() } else { text }
        };
        self.users.push(format!(
            "{}:x:{id}:{group}:{}:{}:{}",
            user.name,
            or(user.comment, ""),
            or(user.home, "/nonexistent"),
            or(user.shell, "/usr/sbin/nologin")
        ));
    }

    /// Gives the number of the group, which may have been there.
    fn add_group(&mut self, name: &str, id: Option<u32>) -> u32 {
        if let Some(id) = self.group(name) {
            return id;
        }
        let id = id.unwrap_or_else(|| free(&self.users, &self.groups));
        if is_name(name) {
            self.groups.push(format!("{name}:x:{id}:"));
        }
        id
    }

    fn join(&mut self, user: &str, group: &str) {
        let Some(line) = self.groups.iter_mut().find(|line| line.split(':').next() == Some(group))
        else {
            return;
        };
        if is_name(user) && !line.rsplit([':', ',']).any(|member| member == user) {
            if !line.ends_with(':') {
                line.push(',');
            }
            line.push_str(user);
        }
    }

    fn group(&self, name: &str) -> Option<u32> {
        find(&self.groups, name)
    }

    fn write(&self, root: &Path) -> Result<()> {
        let text =
            |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        write(&root.join("etc/passwd"), &text(&self.users))?;
        write(&root.join("etc/group"), &text(&self.groups))?;
        // Nobody has a password, and so none that fits.
        let shadow = self.users.iter().filter_map(|line| line.split(':').next());
        let shadow: Vec<String> =
            shadow.map(|name| format!("{name}:*:20000:0:99999:7:::")).collect();
        write(&root.join("etc/shadow"), &text(&shadow))
    }
}

/// The number in the line of a name, in passwd as in group the third field.
fn find(lines: &[String], name: &str) -> Option<u32> {
    let line = lines.iter().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// A number that is neither a user's nor a group's.
fn free(users: &[String], groups: &[String]) -> u32 {
    let ids = users.iter().chain(groups).filter_map(|line| line.split(':').nth(2)?.parse().ok());
    let taken: BTreeSet<u32> = ids.collect();
    (FIRST_SYSTEM_ID..NOGROUP).find(|id| !taken.contains(id)).unwrap_or(NOGROUP)
}

fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain)
}

fn sysusers_files(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("usr/lib/sysusers.d");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let paths = disk::entries(&folder)?.into_iter().map(|entry| entry.path());
    let files = paths.filter(|path| path.extension().is_some_and(|extension| extension == "conf"));
    files.map(|path| fs::read_to_string(&path).map_err(Error::file("cannot read", &path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(sysusers: &str, scripts: &[&str]) -> (String, String) {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| write(&root.path().join(path), text).unwrap();
        put("usr/share/base-passwd/passwd.master", "root:*:0:0:root:/root:/bin/bash\n");
        put("usr/share/base-passwd/group.master", "root:*:0:\nnogroup:*:65534:\ntaken:*:100:\n");
        put("usr/lib/sysusers.d/x.conf", sysusers);
        let scripts: Vec<String> = scripts.iter().map(|text| (*text).to_owned()).collect();
        make(root.path(), &scripts).unwrap();
        let read = |name: &str| fs::read_to_string(root.path().join("etc").join(name)).unwrap();
        assert!(read("shadow").starts_with("root:*:"));
        (read("passwd"), read("group"))
    }

    /// The commands are those of Debian's tcpdump, iperf3 and openvswitch packages.
    #[test]
    fn users_of_maintainer_scripts_are_there() {
        let tcpdump = "addgroup --system --quiet tcpdump\nadduser --system --quiet --ingroup tcpdump\t\\\n\
                       \t--no-create-home --home /nonexistent\t\\\n\ttcpdump\n";
        let iperf = "adduser --system --quiet --home /nonexistent --no-create-home \
                     --gecos \"iperf3 daemon\" iperf3 || true\n";
        let twice = "adduser --system --group --shell /bin/sh own\nadduser own tcpdump\n";
        let (users, groups) = made("", &[tcpdump, iperf, twice]);
        assert!(users.contains("\ntcpdump:x:102:101::/nonexistent:/usr/sbin/nologin\n"), "{users}");
        assert!(users.contains("\niperf3:x:103:65534:iperf3 daemon:/nonexistent:"), "{users}");
        assert!(users.contains("\nown:x:104:104::/nonexistent:/bin/sh\n"), "{users}");
        assert!(
            groups.contains("\ntcpdump:x:101:own\n") && groups.contains("\nown:x:104:\n"),
            "{groups}"
        );
    }

    #[test]
    fn files_of_sysusers_are_read() {
        let text = "# Type Name ID GECOS\ng input - -\nu messagebus - \"System Bus\" - -\n\
                    u! fixed 77:root \"X: y\" /run/x /bin/sh\nm root input\nx\n";
        let (users, groups) = made(text, &[]);
        assert!(users.contains("\nmessagebus:x:102:102:System Bus:/nonexistent:"), "{users}");
        assert!(users.contains("\nfixed:x:77:0:X y:/run/x:/bin/sh\n"), "{users}");
        assert!(groups.contains("\ninput:x:101:\n"), "{groups}");
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Reading commands out of maintainer scripts, as far as they stand there literally.

/// The commands of a shell script that call one of `programs`, as words with the program
/// first. A command with a word that the shell would replace is left out: what it comes
/// to is not known.
pub(super) fn commands(script: &str, programs: &[&str]) -> Vec<Vec<String>> {
    let joined = script.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let words = lines.flat_map(|line| shlex::split(line).into_iter());
    let commands = words.flat_map(|words| {
        let start = words.iter().position(|word| programs.contains(&word.as_str()))?;
        let own = words.get(start..)?.iter();
        let own: Vec<String> = own.take_while(|word| !ends_command(word)).cloned().collect();
        (!own.iter().any(|word| word.contains(['$', '`']))).then_some(own)
    });
    commands.collect()
}

/// Redirections and what divides commands.
fn ends_command(word: &str) -> bool {
    ["|", "||", "&&", "&", ";", "then", "fi"].contains(&word)
        || word.starts_with(['>', '<'])
        || word.starts_with("2>")
        || word.ends_with(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_commands_are_found_wherever_they_stand() {
        let script = "#!/bin/sh\n# adduser --system comment\nif ! getent passwd x >/dev/null; then\n\
                      \tadduser --system --quiet \\\n\t  --gecos 'A daemon' daemon-x || true\nfi\n\
                      adduser \"$USER\"\naddgroup --system grp >/dev/null 2>&1\n";
        let found = commands(script, &["adduser", "addgroup"]);
        assert_eq!(
            found,
            [
                vec!["adduser", "--system", "--quiet", "--gecos", "A daemon", "daemon-x"],
                vec!["addgroup", "--system", "grp"],
            ]
        );
    }

    #[test]
    fn what_does_not_divide_into_words_is_skipped() {
        assert!(commands("adduser 'open\n", &["adduser"]).is_empty());
        assert!(commands("", &["adduser"]).is_empty());
    }
}

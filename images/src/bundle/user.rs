//! Who `USER` is: numbers as they are, names by the image's own `passwd` and
//! `group`. Pure; all of it is untrusted text.

use crate::error::{Error, Result, quoted};

/// The ids that a container's process gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Further groups that `group` lists the user in.
    pub(super) groups: Vec<u32>,
    pub(super) home: Option<String>,
}

/// One line of `passwd`.
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Resolves `[USER][:GROUP]`, each a name or a number.
pub(super) fn resolve(user: &str, passwd: &str, group: &str) -> Result<User> {
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    let number = id(name)?;
    let account = passwd.lines().filter_map(account).find(|account| {
        if name.is_empty() {
            account.uid == 0
        } else {
            number.map_or(account.name == name, |uid| account.uid == uid)
        }
    });
    let mut resolved = match (&account, number) {
        (Some(account), _) => User {
            uid: account.uid,
            gid: account.gid,
            home: Some(account.home.to_owned()),
            groups: groups_of(account.name, group),
        },
        (None, Some(uid)) => User {
            uid,
            ..User::default()
        },
        (None, None) if name.is_empty() => User::default(),
        (None, None) => {
            return Err(Error::invalid(format!(
                "the image's user {} is not in its /etc/passwd",
                quoted(name)
            )));
        }
    };
    if let Some(name) = group_name.filter(|name| !name.is_empty()) {
        resolved.groups.clear();
        resolved.gid = match id(name)? {
            Some(gid) => gid,
            None => group_id(name, group).ok_or_else(|| {
                Error::invalid(format!(
                    "the image's group {} is not in its /etc/group",
                    quoted(name)
                ))
            })?,
        };
    }
    Ok(resolved)
}

/// A number, which is never looked up as a name; `None` for anything else.
fn id(text: &str) -> Result<Option<u32>> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    // The largest number is what chown and setuid take for "no change".
    text.parse::<u32>()
        .ok()
        .filter(|&id| id != u32::MAX && !text.starts_with('+'))
        .map(Some)
        .ok_or_else(|| {
            Error::invalid(format!(
                "the image's user or group id {} is out of range",
                quoted(text)
            ))
        })
}

fn account(line: &str) -> Option<Account<'_>> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1).unwrap_or("/");
    Some(Account {
        name,
        uid,
        gid,
        home,
    })
}

/// Name, id and members of a line of `group`.
fn group_line(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let gid = fields.nth(1)?.parse().ok()?;
    Some((name, gid, fields.next().unwrap_or_default()))
}

fn group_id(name: &str, group: &str) -> Option<u32> {
    group
        .lines()
        .filter_map(group_line)
        .find(|(known, ..)| *known == name)
        .map(|(_, gid, _)| gid)
}

fn groups_of(user: &str, group: &str) -> Vec<u32> {
    group
        .lines()
        .filter_map(group_line)
        .filter(|(.., members)| members.split(',').any(|member| member == user))
        .map(|(_, gid, _)| gid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/false\n\
                          broken:x\n12:x:99:99::/:\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\naudio:x:29:web,other\nodd\n";

    #[test]
    fn names_and_numbers() {
        for (user, uid, gid, groups) in [
            ("", 0, 0, &[][..]),
            ("root", 0, 0, &[]),
            ("web", 33, 34, &[29]),
            ("33", 33, 34, &[29]),
            ("web:audio", 33, 29, &[]),
            ("web:7", 33, 7, &[]),
            ("1000", 1000, 0, &[]),
            ("1000:1001", 1000, 1001, &[]),
            // A number, though there is an account of that name.
            ("12", 12, 0, &[]),
            (":audio", 0, 29, &[]),
        ] {
            let found = resolve(user, PASSWD, GROUP).unwrap();
            assert_eq!(
                (found.uid, found.gid, found.groups.as_slice()),
                (uid, gid, groups),
                "{user}"
            );
        }
    }

    #[test]
    fn what_is_out_of_range_or_unknown_is_refused() {
        for user in [
            "nobody-here",
            "root ",
            "../x",
            "0x0",
            "-1",
            "+1",
            "4294967295",
            "4294967296",
            "1000:99999999999",
            "web:none",
        ] {
            assert!(resolve(user, PASSWD, GROUP).is_err(), "{user}");
        }
        assert_eq!(resolve("", "", "").unwrap(), User::default());
    }
}

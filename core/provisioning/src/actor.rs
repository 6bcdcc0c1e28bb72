//! Who acts.

use std::net::IpAddr;

/// How somebody proved who he is, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// The operating system says so: he runs a command on this machine, where the files of the store are his to read.
    System {
        /// His number.
        uid: u32,
        /// Whom he was before `sudo`: his own word.
        before: Option<String>,
    },
    /// Whoever the operating system let in acts for a login, with the rights of that login and no others.
    OnBehalf {
        /// His number.
        uid: u32,
    },
    /// He proved a password over the network.
    Password {
        /// Where he came from.
        peer: IpAddr,
        /// The service that asked for it.
        service: &'static str,
    },
    /// The server itself, for what a contract makes due.
    Server,
}

/// Somebody who wants something done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// His login, in lower case; his name on this machine; or `sigillo`, the server.
    pub name: String,
    /// How that is known.
    pub means: Means,
}

impl Actor {
    /// The user of the operating system who runs a command: the administrator of the platform (ADM-06).
    pub fn system(name: &str, uid: u32, before: Option<String>) -> Actor {
        Actor { name: name.to_owned(), means: Means::System { uid, before } }
    }

    /// A login for which a command is run, with that login's rights.
    pub fn on_behalf(login: &str, uid: u32) -> Actor {
        Actor { name: login.to_ascii_lowercase(), means: Means::OnBehalf { uid } }
    }

    /// The server itself.
    pub fn server() -> Actor {
        Actor { name: "sigillo".into(), means: Means::Server }
    }

    /// Whether the whole platform is his.
    pub(crate) fn is_system(&self) -> bool {
        matches!(self.means, Means::System { .. } | Means::Server)
    }

    /// For a record of the trail: how it is known who he is.
    pub(crate) fn details(&self) -> Vec<(String, String)> {
        let detail = |name: &str, value: String| (name.to_owned(), value);
        match &self.means {
            Means::System { uid, before } => {
                let before = before.iter().map(|name| detail("sudo-user", name.chars().take(64).collect()));
                [detail("means", "system".into()), detail("uid", uid.to_string())].into_iter().chain(before).collect()
            }
            Means::OnBehalf { uid } => vec![detail("means", "on-behalf".into()), detail("uid", uid.to_string())],
            Means::Password { service, .. } => {
                vec![detail("means", "password".into()), detail("service", (*service).into())]
            }
            Means::Server => vec![detail("means", "server".into())],
        }
    }

    /// Where he came from, if over the network.
    pub(crate) fn peer(&self) -> String {
        match self.means {
            Means::Password { peer, .. } => peer.to_canonical().to_string(),
            _ => String::new(),
        }
    }
}

//! A code for a lost password: only whoever holds the store writes what a gateway is asked with, and sends it at once.

use serde::{Deserialize, Serialize};
use sigillo_provisioning::{Actor, Means, Provisioning};
use tokio::io::AsyncRead;

use super::operation::Carried;
use super::{Refusal, skip};
use crate::server::Server;
use crate::text_messages::Gateway;

/// Who lost a password, and who says so.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecoveryRequest {
    /// The login, as it was typed.
    pub login: String,
    /// The name of whoever runs the command, or of the login for which it is run.
    pub actor: String,
    /// His number at the operating system.
    pub uid: u32,
    /// Whom he was before `sudo`.
    pub before: Option<String>,
    /// Whether the command is run for a login.
    pub on_behalf: bool,
}

impl RecoveryRequest {
    /// For a login.
    pub fn new(login: &str, actor: &Actor) -> RecoveryRequest {
        let (uid, before, on_behalf) = match &actor.means {
            Means::System { uid, before } => (*uid, before.clone(), false),
            Means::OnBehalf { uid } => (*uid, None, true),
            Means::Password { .. } | Means::Server => (u32::MAX, None, true),
        };
        RecoveryRequest { login: login.to_owned(), actor: actor.name.clone(), uid, before, on_behalf }
    }

    fn actor(&self) -> Actor {
        match self.on_behalf {
            true => Actor::on_behalf(&self.actor, self.uid),
            false => Actor::system(&self.actor, self.uid, self.before.clone()),
        }
    }
}

/// Sends a code, if there is somebody to send one to: the answer is the same.
pub(super) async fn carry_out(
    server: &Server,
    request: RecoveryRequest,
    reader: &mut (impl AsyncRead + Unpin),
    body: u64,
) -> Result<Carried, Refusal> {
    skip(reader, body).await?;
    let provisioning = Provisioning::new(server.store().clone(), server.config().provisioning.clone());
    let asked = provisioning.ask_recovery(&request.actor(), &request.login, Gateway::of(server.config())).await;
    asked.map_err(|error| Refusal::Told(error.to_string()))?;
    Ok(Carried { answer: "{}".into(), valid: None, output: None })
}

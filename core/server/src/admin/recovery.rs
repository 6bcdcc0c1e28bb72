//! `user mobile`, `user send-code` and `user use-code`: a lost password is replaced with a code that comes to a telephone
//! (ADM-14).

use std::io::IsTerminal;

use serde_json::json;
use sigillo_provisioning::Error;
use sigillo_provisioning::recovery::{GOOD_MS, number as parse};

use super::office::Office;
use super::users::ask;
use super::{CommandError, say, say_json};
use crate::config::Config;
use crate::control::Request;
use crate::control::client::Client;
use crate::control::recovery::RecoveryRequest;

/// Prints the telephone of a user, notes one, or forgets it.
pub async fn mobile(office: &Office, login: &str, number: Option<&str>) -> Result<(), CommandError> {
    let (provisioning, actor) = (&office.provisioning, &office.actor);
    let shown = login.to_ascii_lowercase();
    match number {
        None => match provisioning.mobile(actor, login).await? {
            Some(number) => say(&number),
            None => say(&format!("no mobile telephone of {shown} is known")),
        },
        Some("none") => {
            provisioning.set_mobile(actor, login, None).await?;
            say(&format!("no mobile telephone of {shown} is known any more"))
        }
        Some(number) => {
            provisioning.set_mobile(actor, login, Some(number)).await?;
            say(&format!("mobile telephone of {shown}: {}", parse(number)?))
        }
    }
}

/// Has the running server send a code. What is said is the same whether there is somebody to send one to or not.
pub async fn send_code(config: &Config, office: &Office, login: &str, as_json: bool) -> Result<(), CommandError> {
    let other = |error: crate::control::client::ClientError| CommandError::Other(error.to_string());
    let mut client = Client::connect(&config.data_dir()).await.map_err(other)?;
    let request = Request::Recovery(RecoveryRequest::new(login, &office.actor));
    client.ask(&request, &mut tokio::io::empty(), 0, &mut tokio::io::sink()).await.map_err(other)?;
    let answer = "if this login has an open mailbox and a mobile telephone, a code is on its way to it; another can be \
                  asked for after five minutes";
    match as_json {
        true => {
            say_json(&json!({ "login": login.to_ascii_lowercase(), "answer": answer, "minutes": GOOD_MS / 60_000 }))
        }
        false => say(answer),
    }
}

/// Changes a password with a code: both are asked for, or are two lines of standard input.
pub async fn use_code(office: &Office, login: &str, as_json: bool) -> Result<(), CommandError> {
    let code = ask("Code: ")?;
    let new = ask("New password: ")?;
    if std::io::stdin().is_terminal() && ask("New password again: ")? != new {
        return Err(CommandError::Usage("the new password was typed in two ways; nothing is changed".into()));
    }
    let shown = login.to_ascii_lowercase();
    match office.provisioning.redeem_recovery(&office.actor, login, &code, &new).await {
        Ok(()) if as_json => say_json(&json!({ "login": shown, "changed": true })),
        Ok(()) => say(&format!("password of {shown} changed")),
        Err(Error::Invalid { what, problem, remedy }) if as_json => {
            let said = json!({ "login": shown, "changed": false, "what": what, "problem": problem, "remedy": remedy });
            say_json(&said)?;
            Err(CommandError::Found)
        }
        Err(error) => Err(error.into()),
    }
}

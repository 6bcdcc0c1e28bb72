//! Codes for lost passwords on their way to telephones (ADM-14): requests of the server's own in the outbox.
//!
//! What such a request says is a secret until it is over. It leaves the store with the end of the request, is shown by no
//! command, and nothing of what a gateway answers is kept that could repeat it.

use std::sync::Arc;

use sigillo_delivery::outbox::{Attempt, Said, Targets};
use sigillo_mail::Rope;
use sigillo_provisioning::recovery::TextMessages;
use sigillo_provisioning::settings::TextMessageSettings;
use sigillo_store::outbox::{NewRequest, RequestName};
use sigillo_store::{Millis, SERVER, StoreError, Tx};

use crate::config::{Config, ConfigError};

/// A number and a text as they might be, to try the settings with.
const SAMPLE: (&str, &str) = ("+393331234567", "12345678 e' il codice");

/// The gateway of the configuration.
pub struct Gateway(TextMessageSettings);

impl Gateway {
    /// If there is one.
    pub fn of(config: &Config) -> Option<Arc<dyn TextMessages>> {
        let settings = config.provisioning.text_messages.clone()?;
        Some(Arc::new(Gateway(settings)))
    }
}

impl TextMessages for Gateway {
    fn queue(&self, tx: &mut Tx<'_>, key: &str, to: &str, text: &str, until: Millis) -> Result<(), StoreError> {
        let (parameters, content) = self.0.fill(to, text);
        let name = RequestName { plugin: SERVER.into(), target: self.0.target.clone(), key: key.to_owned() };
        let content = content.map(|content| Rope::from_bytes(content.into_bytes()));
        tx.queue_request(&NewRequest { name, parameters, content, expires: until }).map(drop)
    }
}

/// Whether the target takes a request as the configuration describes it.
pub fn check(config: &Config, targets: &Targets) -> Result<(), ConfigError> {
    let Some(settings) = &config.provisioning.text_messages else { return Ok(()) };
    let Some(target) = targets.get(&settings.target) else { return Ok(()) }; // said where the file is read
    let (parameters, content) = settings.fill(SAMPLE.0, SAMPLE.1);
    let checked = target.check(&parameters, content.map(|content| content.len() as u64));
    checked.map_err(|problem| ConfigError(format!("provisioning.text-messages: {problem}")))
}

/// Without what could repeat a code: digits, and the body. A gateway's own words are for the operator.
pub fn silenced(attempt: Attempt) -> Attempt {
    let silent =
        |said: Said| Said { code: said.code, ..Said::words(said.text.replace(|c: char| c.is_ascii_digit(), "#")) };
    match attempt {
        Attempt::Done(said) => Attempt::Done(silent(said)),
        Attempt::Refused(said) => Attempt::Refused(silent(said)),
        Attempt::Later { said, away, wait } => Attempt::Later { said: silent(said), away, wait },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigillo_store::Store;
    use sigillo_store::outbox::{Reply, RequestState};

    fn name() -> RequestName {
        RequestName { plugin: SERVER.into(), target: "sms".into(), key: "k-1".into() }
    }

    async fn queued(store: &Store) {
        let settings = TextMessageSettings {
            target: "sms".into(),
            parameters: [("header.To".to_owned(), "{number}".to_owned())].into(),
            content: Some("{text}".into()),
        };
        let job = move |tx: &mut Tx<'_>| {
            let until = tx.now() + 900_000;
            Gateway(settings).queue(tx, "k-1", "+393331234567", "12345678 e' il codice", until)
        };
        store.write(job).await.unwrap();
    }

    #[tokio::test]
    async fn adm_14_what_a_code_was_sent_with_goes_with_its_request() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        queued(&store).await;
        let waiting = store.look(|r| r.request(&name())).unwrap().unwrap();
        assert_eq!(waiting.parameters, [("header.To".to_owned(), "+393331234567".to_owned())]);
        let message = waiting.message.unwrap();
        let reply = Reply { status: "done".into(), code: Some(202), text: "taken".into(), body: b"12345678".to_vec() };
        store.write(move |tx| tx.end_request(&name(), &reply)).await.unwrap();
        let known = store.look(|r| r.request(&name())).unwrap().unwrap();
        assert_eq!((known.state, known.parameters.len(), known.message), (RequestState::Known, 0, None));
        assert!(known.reply.body.is_empty() && store.look(|r| r.message(message)).is_err());
        assert!(store.look(|r| r.due_answers(u64::MAX / 2, 0, 9)).unwrap().is_empty(), "nobody is to be told");
    }

    #[tokio::test]
    async fn adm_14_an_operator_does_not_lengthen_the_time_of_a_code() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        queued(&store).await;
        let before = store.look(|r| r.request(&name())).unwrap().unwrap().expires;
        store.write(|tx| tx.retry_request(&name(), 24 * 3_600_000)).await.unwrap();
        assert_eq!(store.look(|r| r.request(&name())).unwrap().unwrap().expires, before);
    }

    #[test]
    fn adm_14_a_gateway_that_repeats_a_code_is_not_repeated() {
        let said = Said { code: Some(202), text: "sent 12345678 to +39333".into(), body: b"12345678"[..].into() };
        let Attempt::Done(silent) = silenced(Attempt::Done(said)) else { panic!() };
        assert_eq!((silent.code, silent.text.as_str(), silent.body.len()), (Some(202), "sent ######## to +#####", 0));
    }
}

//! The facts by which a policy chooses a chain. Their names stand in `sigillo_policy::facts`.

use sigillo_mail::Mailbox;
use sigillo_policy::Facts;
use sigillo_store::queue::Recipient;
use sigillo_store::{DomainClass, StoreError};

use crate::origin::{Letter, Way};
use crate::server::Server;

impl Server {
    /// At `access` and `reception`.
    pub(crate) fn letter_facts(&self, letter: &Letter) -> Result<Facts, StoreError> {
        let mut facts = common_facts(letter);
        let own = match &letter.origin.identity {
            Some(identity) if letter.origin.arrival() == sigillo_plugin::Arrival::Submission => {
                let login: Option<Mailbox> = identity.parse().ok();
                facts.set("identity", identity.clone());
                if let Some(login) = &login {
                    facts.set("identity.domain", login.domain().to_string());
                }
                login
            }
            // The recipients of one transaction are of one class: the session and the queue see to it.
            _ => letter.recipients.first().cloned(),
        };
        if let Some(class) = self.class_of(own.as_ref())? {
            facts.set("domain.class", class.as_str()).set("mailbox.class", class.as_str());
        }
        facts
            .set("arrival", letter.origin.arrival().word())
            .set("listener", letter.origin.properties.get("session.kind").cloned().unwrap_or_default())
            .set("tls", letter.origin.properties.contains_key("tls.version"))
            .set("recipients", letter.recipients.len() as u64)
            .set("recipient", texts(&letter.recipients, ToString::to_string))
            .set("recipient.domain", texts(&letter.recipients, |recipient| recipient.domain().to_string()));
        let mut owners = Vec::new();
        for recipient in &letter.recipients {
            owners.extend(self.owner(recipient)?.map(str::to_owned));
        }
        owners.dedup();
        if !owners.is_empty() {
            facts.set("recipient.plugin", owners);
        }
        if letter.origin.way == Way::Internal
            && let Some(maker) = letter.origin.properties.get("made.by")
        {
            facts.set("made.by", maker.clone());
        }
        for name in ["auth.spf", "auth.dkim", "auth.dmarc", "auth.arc"] {
            if let Some(word) = letter.origin.properties.get(name) {
                facts.set(name, word.clone());
            }
        }
        if let Some(ip) = letter.origin.properties.get("peer.ip") {
            facts.set("peer.ip", ip.clone());
        }
        Ok(facts)
    }

    /// At `delivery`, `stored` and `outcome`. The class is the recipient's where it is ours, else the sender's: on whose
    /// behalf the stage runs.
    pub(crate) fn recipient_facts(
        &self,
        letter: &Letter,
        recipient: &Recipient,
        status: &str,
    ) -> Result<Facts, StoreError> {
        let mut facts = common_facts(letter);
        let class = match self.class_of(Some(&recipient.address))? {
            Some(class) => Some(class),
            None => self.class_of(letter.reverse_path.mailbox())?,
        };
        if let Some(class) = class {
            facts.set("domain.class", class.as_str()).set("mailbox.class", class.as_str());
        }
        facts
            .set("recipient", recipient.address.to_string())
            .set("recipient.domain", recipient.address.domain().to_string())
            .set("attempt", u64::from(recipient.attempts) + 1)
            .set("status", status);
        Ok(facts)
    }

    fn class_of(&self, mailbox: Option<&Mailbox>) -> Result<Option<DomainClass>, StoreError> {
        match mailbox {
            Some(mailbox) => self.domain_class(mailbox.domain()),
            None => Ok(None),
        }
    }
}

fn common_facts(letter: &Letter) -> Facts {
    let mut facts = Facts::new();
    facts.set("sender", letter.reverse_path.to_string()).set("size", letter.content.len());
    if let Some(sender) = letter.reverse_path.mailbox() {
        facts.set("sender.domain", sender.domain().to_string());
    }
    facts
}

fn texts(recipients: &[Mailbox], text: impl Fn(&Mailbox) -> String) -> Vec<String> {
    let mut texts: Vec<String> = recipients.iter().map(text).collect();
    texts.dedup();
    texts
}

//! What can be proved of who sent a message that another server brings: found out once, before the chain.
//!
//! The findings are properties of the transaction (`auth.…`), facts for `when:`, and in ordinary domains the field
//! `Authentication-Results` (RFC 8601). What goes into a certified domain is never altered: what is certified there is the
//! message as it came, and what came certified bears a signature.

use std::sync::Arc;

use sigillo_authenticity::{Question, field};
use sigillo_mail::Failure;
use sigillo_mail::structure::Structure;
use sigillo_smtp::facts::SessionFacts;
use sigillo_store::DomainClass;

use crate::origin::{Letter, parse};
use crate::server::Server;

impl Server {
    /// Adds to a letter from another server what is found out about its sender, and takes from it what others say in
    /// our name. Changes nothing where the configuration has no `authentication`.
    pub(crate) async fn authenticate(
        &self,
        session: &SessionFacts,
        mut letter: Letter,
        structure: Structure,
    ) -> Result<(Letter, Structure), Failure> {
        let Some(checker) = self.checker() else { return Ok((letter, structure)) };
        let source = self.store().segments().clone();
        let findings = checker
            .check(Question {
                peer: session.peer.ip().to_canonical(),
                hello: session.hello.clone().unwrap_or_default(),
                reverse_path: letter.reverse_path.clone(),
                content: letter.content.clone(),
                header_size: structure.header().as_bytes().len() as u64,
                source: source.clone(),
            })
            .await;
        tracing::debug!(id = %letter.id, results = findings.results, "checked who sent it");
        for (name, value) in findings.properties() {
            letter.origin.properties.insert(name.to_owned(), value);
        }
        let class = match letter.recipients.first() {
            Some(recipient) => self.domain_class(recipient.domain()).map_err(Failure::internal)?,
            None => None,
        };
        let wanted = self.config().authentication.as_ref().is_some_and(|settings| settings.field);
        if class != Some(DomainClass::Ordinary) || !wanted {
            return Ok((letter, structure));
        }
        let structure = match field::without_forged(&letter.content, structure.header(), checker.authserv_id()) {
            None => structure,
            Some(content) => {
                letter.content = content;
                parse(letter.content.clone(), source).await.map_err(Failure::internal)?
            }
        };
        // Above the trace field of this server: who reads it knows that the fields below may be anybody's.
        if let (Some(field), Some(trace)) = (field::field(&findings.results), &mut letter.origin.trace) {
            trace.insert_str(0, &field);
        }
        Ok((letter, structure))
    }
}

/// Of the configuration's checks, if it has any.
pub(crate) fn checker(config: &crate::Config) -> Result<Option<Arc<sigillo_authenticity::Checker>>, String> {
    let Some(options) = config.authenticity() else { return Ok(None) };
    let checker = sigillo_authenticity::Checker::new(options);
    checker.map(|checker| Some(Arc::new(checker))).map_err(|error| format!("authentication: {error}"))
}

//! `command`: the inspection of a message in a file.

use super::bindings::exports::sigillo::mail::command::{Failure, Guest, Inspection};
use super::bindings::sigillo::mail as wit;
use super::{Pec, found_verification, to_error, to_provider};
use crate::host::{Error, Message, Provider};
use crate::inspect::{self, Exhibit, FACTS, Signature};

impl Guest for Pec {
    fn run(name: String, inspection: &Inspection) -> Result<String, Failure> {
        let exhibit = File { message: inspection.message(), inspection };
        inspect::answer(&exhibit, &name).map_err(Failure::Permanent)
    }
}

struct File<'a> {
    message: wit::message::Message,
    inspection: &'a Inspection,
}

impl Exhibit for File<'_> {
    fn message(&self) -> &dyn Message {
        &self.message
    }

    fn property(&self, name: &str) -> Option<String> {
        self.inspection.property(name)
    }

    fn decoded_sha256(&self, part: u32) -> Result<(u64, Vec<u8>), Error> {
        self.message.decoded_sha256(part).map_err(to_error)
    }

    fn verify(&self) -> Result<Signature, Error> {
        let found = wit::verifier::verify(&self.message).map_err(to_error)?;
        let facts = FACTS.into_iter().filter_map(|name| Some((name, found.property(name)?))).collect();
        Ok(Signature { verification: found_verification(&found), facts })
    }

    fn provider_of_certificate(&self, certificate: &[u8]) -> Result<Option<Provider>, Error> {
        wit::directory::find_by_certificate(certificate).map(|found| found.map(to_provider)).map_err(to_error)
    }

    fn provider_of_domain(&self, domain: &str) -> Result<Option<Provider>, Error> {
        wit::directory::find_by_domain(domain).map(|found| found.map(to_provider)).map_err(to_error)
    }
}

//! A message in a file, in the hands of somebody who has the index, the anchors, or nothing.

use std::collections::BTreeMap;

use pec::host::{Error, Host, Message, Provider};
use pec::inspect::{Exhibit, Signature};
use sha2::{Digest, Sha256};

use super::parse::Parsed;
use super::{Run, World};

pub struct File<'a> {
    run: Run<'a>,
    pub given: BTreeMap<&'static str, &'static str>,
}

impl<'a> File<'a> {
    /// With everything that verification can be given.
    pub fn new(world: &'a World, bytes: &[u8]) -> File<'a> {
        let given = ["anchors", "directory", "revocation-lists"].map(|name| (name, "given"));
        File { run: world.looking_at(Parsed::new(bytes)), given: given.into() }
    }

    pub fn without(mut self, names: &[&str]) -> File<'a> {
        self.given.retain(|name, _| !names.contains(name));
        self
    }

    pub fn with(mut self, name: &'static str, value: &'static str) -> File<'a> {
        self.given.insert(name, value);
        self
    }
}

impl Exhibit for File<'_> {
    fn message(&self) -> &dyn Message {
        self.run.message()
    }

    fn property(&self, name: &str) -> Option<String> {
        self.given.get(name).map(|value| (*value).to_owned())
    }

    fn decoded_sha256(&self, part: u32) -> Result<(u64, Vec<u8>), Error> {
        let bytes = self.run.message().read_decoded(part)?;
        Ok((bytes.len() as u64, Sha256::digest(&bytes).to_vec()))
    }

    fn verify(&self) -> Result<Signature, Error> {
        let mut verification = self.run.verify()?;
        verification.trusted &= verification.intact && self.given.contains_key("anchors");
        if verification.present && !verification.intact && verification.problem.is_none() {
            verification.problem = Some("the signed part was altered".to_owned());
        }
        Ok(Signature { verification, facts: vec![("digest", "sha256".to_owned())] })
    }

    fn provider_of_certificate(&self, certificate: &[u8]) -> Result<Option<Provider>, Error> {
        match self.given.contains_key("directory") {
            true => self.run.provider_of_certificate(certificate),
            false => Ok(None),
        }
    }

    fn provider_of_domain(&self, domain: &str) -> Result<Option<Provider>, Error> {
        match self.given.contains_key("directory") {
            true => self.run.provider_of_domain(domain),
            false => Ok(None),
        }
    }
}

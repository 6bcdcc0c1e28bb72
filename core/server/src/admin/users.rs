//! `user`: who logs in to a mailbox.

use std::io::IsTerminal;

use clap::Subcommand;
use sigillo_provisioning::users::{Made, Password};
use sigillo_store::AccountState;
use sigillo_store::users::{NewUser, Role};

use super::office::{Office, mailbox as parse};
use super::{CommandError, legal, recovery, say, say_json};
use crate::config::Config;

#[derive(Subcommand)]
#[command(after_help = "Examples:
  sigillo user add office@pec.alfa.example bruno.verdi
  sigillo user list office@pec.alfa.example
  sigillo user password bruno.verdi
  sigillo user change-password bruno.verdi
  sigillo user mobile bruno.verdi '+39 320 1234567'
  sigillo user send-code bruno.verdi
  printf '%s\n%s\n' \"$CODE\" \"$NEW\" | sigillo user use-code bruno.verdi --json

A password that is made here, or given with --password-stdin --first, opens nothing but
`change-password`, and that for three days (provisioning.first-password-hours).

Who lost his asks for a code with `send-code`: it comes to his mobile telephone, and with it
`use-code` changes the password, within a quarter of an hour and five attempts. Whatever login is
given to `send-code`, what it says is the same.")]
pub enum UserCommand {
    /// Let one more person into a multi-user mailbox. Without a password on standard input a first one is made and
    /// printed.
    Add {
        /// The mailbox.
        address: String,
        /// The login: letters, digits and . - _ @ +
        login: String,
        #[command(flatten)]
        password: PasswordArguments,
    },
    /// Print the users of a mailbox.
    List {
        /// The mailbox.
        address: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give a user another password. Without one on standard input a first one is made and printed.
    Password {
        /// The user.
        login: String,
        #[command(flatten)]
        password: PasswordArguments,
    },
    /// Change the own password: the old one and the new one are asked for, or are two lines of standard input.
    ChangePassword {
        /// The own login.
        login: String,
    },
    /// Note the mobile telephone of a user, to which codes for a lost password go; without a number, print it.
    Mobile {
        /// The user.
        login: String,
        /// The number with the code of its country, or `none`.
        number: Option<String>,
    },
    /// Send a code for a lost password to the mobile telephone of a user, by the running server.
    SendCode {
        /// The user.
        login: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change a lost password with the code: both are asked for, or are two lines of standard input.
    UseCode {
        /// The user.
        login: String,
        /// As JSON, also what is wrong with the code or the password.
        #[arg(long)]
        json: bool,
    },
    /// Keep a user out.
    Disable {
        /// The user.
        login: String,
    },
    /// Let him in again.
    Enable {
        /// The user.
        login: String,
    },
    /// Take an operator away. A holder goes with the mailbox only.
    Remove {
        /// The user.
        login: String,
    },
}

/// How a user comes to his password.
#[derive(clap::Args, Clone, Copy)]
pub struct PasswordArguments {
    /// Read the password from standard input. It stays until it is changed.
    #[arg(long)]
    pub password_stdin: bool,
    /// The password must be changed at first use, within three days. So is one that is made here.
    #[arg(long, conflicts_with = "final_")]
    pub first: bool,
    /// The password stays until it is changed: for programs.
    #[arg(long = "final")]
    pub final_: bool,
}

impl PasswordArguments {
    /// Reads what is to be read.
    pub fn read(self) -> Result<Password, CommandError> {
        if !self.password_stdin {
            return Ok(if self.final_ { Password::MadeFinal } else { Password::Made });
        }
        let password = ask("Password: ")?;
        Ok(if self.first { Password::First(password) } else { Password::Final(password) })
    }
}

/// A line of standard input; at a terminal it is asked for, and not shown.
pub fn ask(prompt: &str) -> Result<String, CommandError> {
    let unreadable = |error: std::io::Error| CommandError::Usage(format!("the password cannot be read: {error}"));
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password(prompt).map_err(unreadable);
    }
    let mut line = String::new();
    let mut bounded = std::io::Read::take(std::io::stdin().lock(), 4096);
    std::io::BufRead::read_line(&mut bounded, &mut line).map_err(unreadable)?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Tells a password that was made; it is told nowhere else.
pub fn tell(made: &Made) -> Result<(), CommandError> {
    if let Some(password) = &made.password {
        say(&format!("password: {password}"))?;
    }
    if let Some(expires) = made.expires {
        let words = "must be changed before anything else, with `sigillo user change-password`, until";
        eprintln!("it {words} {}", legal(expires));
    }
    Ok(())
}

pub async fn user(config: &Config, office: &Office, command: UserCommand) -> Result<(), CommandError> {
    let (provisioning, actor) = (&office.provisioning, &office.actor);
    match command {
        UserCommand::Add { address, login, password } => {
            let account = parse(&address)?.key();
            let new = NewUser {
                login: login.to_ascii_lowercase(),
                account: account.clone(),
                role: Role::Operator,
                credential: String::new(),
                initial: true,
                expires: None,
            };
            let made = provisioning.add_user(actor, new, password.read()?).await?;
            say(&format!("user {} of {account} added", login.to_ascii_lowercase()))?;
            tell(&made)
        }
        UserCommand::List { address, json } => {
            let users = provisioning.users(actor, &parse(&address)?.key()).await?;
            if json {
                return say_json(&users);
            }
            for user in &users {
                let state = if user.state == AccountState::Active { "active" } else { "disabled" };
                let first = match (user.initial, user.credential_expires) {
                    (true, Some(end)) => format!("  first password, until {}", legal(end)),
                    (true, None) => "  first password".to_owned(),
                    _ => String::new(),
                };
                say(&format!("{:<40} {:<9} {state:<8}{first}", user.login, user.role.as_str()))?;
            }
            Ok(())
        }
        UserCommand::Password { login, password } => {
            let made = provisioning.give_password(actor, &login, password.read()?).await?;
            say(&format!("password of {} changed", login.to_ascii_lowercase()))?;
            tell(&made)
        }
        UserCommand::ChangePassword { login } => change_password(office, &login).await,
        UserCommand::Mobile { login, number } => recovery::mobile(office, &login, number.as_deref()).await,
        UserCommand::SendCode { login, json } => recovery::send_code(config, office, &login, json).await,
        UserCommand::UseCode { login, json } => recovery::use_code(office, &login, json).await,
        UserCommand::Disable { login } => set_state(office, &login, AccountState::Disabled).await,
        UserCommand::Enable { login } => set_state(office, &login, AccountState::Active).await,
        UserCommand::Remove { login } => {
            provisioning.remove_user(actor, &login).await?;
            say(&format!("user {} removed", login.to_ascii_lowercase()))
        }
    }
}

async fn set_state(office: &Office, login: &str, state: AccountState) -> Result<(), CommandError> {
    office.provisioning.set_user_state(&office.actor, login, state).await?;
    say(&format!("{} is {}", login.to_ascii_lowercase(), state.as_str()))
}

async fn change_password(office: &Office, login: &str) -> Result<(), CommandError> {
    let old = ask("Old password: ")?;
    let new = ask("New password: ")?;
    if std::io::stdin().is_terminal() && ask("New password again: ")? != new {
        return Err(CommandError::Usage("the new password was typed in two ways; nothing is changed".into()));
    }
    office.provisioning.change_password(&office.actor, login, &old, &new).await?;
    say(&format!("password of {} changed", login.to_ascii_lowercase()))
}

//! What the shell itself says, in the language of the computer: French or English.

/// Everything the tray and the notices say.
pub(crate) struct Words {
    /// Tray: show the window.
    pub(crate) open: &'static str,
    /// Tray: start with the computer.
    pub(crate) start_with_computer: &'static str,
    /// Tray and notice: end the program.
    pub(crate) quit: &'static str,
    /// The window was closed; colleagues go on.
    pub(crate) goes_on: &'static str,
    /// An answer to it: the office stays open.
    pub(crate) stay: &'static str,
    /// An answer to it: the window comes back.
    pub(crate) back: &'static str,
    /// The data folder is in use; `{}` is the folder.
    pub(crate) folder_in_use: &'static str,
    /// The port is in use; `{}` is the port.
    pub(crate) port_in_use: &'static str,
    /// What the program was told at its start is not understood; the reason follows.
    pub(crate) bad_settings: &'static str,
    /// Something else; the reason follows.
    pub(crate) cannot_open: &'static str,
    /// The server ended by itself; the reason follows.
    pub(crate) stopped: &'static str,
}

const ENGLISH: Words = Words {
    open: "Open Townhall",
    start_with_computer: "Start with the computer",
    quit: "Quit Townhall",
    goes_on: "Townhall stays open for your colleagues: they go on writing while this window is \
              closed.\n\nTo see it again, click its icon beside the clock, or start Townhall once more.",
    stay: "Stay open",
    back: "Back to the window",
    folder_in_use: "Another Townhall already uses the folder {}.\n\nClose it first. To use another \
              folder, ask whoever installed Townhall.",
    port_in_use: "Another program on this computer already uses port {}.\n\nClose it first. To use \
              another port, ask whoever installed Townhall.",
    bad_settings: "Townhall does not understand its settings and cannot start.\n\nShow this to whoever \
              installed Townhall:",
    cannot_open: "The office cannot open.",
    stopped: "The office has stopped. What was marked as saved is safe. Start Townhall again.",
};

const FRENCH: Words = Words {
    open: "Ouvrir Townhall",
    start_with_computer: "Démarrer avec l’ordinateur",
    quit: "Quitter Townhall",
    goes_on: "Townhall reste ouvert pour vos collègues : ils continuent d’écrire pendant que cette \
              fenêtre est fermée.\n\nPour la revoir, cliquez sur son icône près de l’horloge, ou \
              lancez Townhall une nouvelle fois.",
    stay: "Laisser ouvert",
    back: "Revenir à la fenêtre",
    folder_in_use: "Un autre Townhall utilise déjà le dossier {}.\n\nFermez-le d’abord. Pour utiliser un \
              autre dossier, demandez à la personne qui a installé Townhall.",
    port_in_use: "Un autre programme de cet ordinateur utilise déjà le port {}.\n\nFermez-le d’abord. \
              Pour utiliser un autre port, demandez à la personne qui a installé Townhall.",
    bad_settings: "Townhall ne comprend pas ses réglages et ne peut pas démarrer.\n\nMontrez ceci à la \
              personne qui a installé Townhall :",
    cannot_open: "Townhall ne peut pas s’ouvrir.",
    stopped: "Le serveur s’est arrêté. Ce qui était marqué comme enregistré est en sûreté. Relancez \
              Townhall.",
};

/// The words for this computer's language.
pub(crate) fn words() -> &'static Words {
    let french = sys_locale::get_locale().is_some_and(|locale| locale.to_lowercase().starts_with("fr"));
    if french { &FRENCH } else { &ENGLISH }
}

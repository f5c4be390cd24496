//! The `mesh` profile from outside: laws that hold for every body, and recorded sessions billed request by request.

#[cfg(test)]
mod billing;
#[cfg(test)]
mod fill;
#[cfg(test)]
mod items;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod window;

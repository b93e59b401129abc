mod closing;
mod endings;
mod expiring;
mod interest;

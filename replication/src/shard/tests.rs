mod closing;
mod endings;
mod interest;

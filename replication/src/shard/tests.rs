mod closing;
mod endings;

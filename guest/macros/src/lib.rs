//! The `#[job]` attribute of `silverback-guest`. It knows the shape of a leader function, and nothing of what one does.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{Error, ItemFn, parse_macro_input};

/// Makes a function the leader function of this component: see `silverback_guest::job`.
#[proc_macro_attribute]
pub fn job(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    match expand(&arguments.into(), &function) {
        Ok(export) => quote! { #function #export }.into(),
        Err(error) => {
            let error = error.to_compile_error();
            quote! { #function #error }.into()
        }
    }
}

/// The export beside the function. Only a component has one: on the machine itself the function stays a plain function.
fn expand(arguments: &Tokens, function: &ItemFn) -> Result<Tokens, Error> {
    check(arguments, function)?;
    let name = &function.sig.ident;
    Ok(quote! {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Job;
            impl ::silverback_guest::__private::Guest for Job {
                fn run(
                    grant: ::silverback_guest::Grant,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, ::silverback_guest::__private::WireError> {
                    ::silverback_guest::__private::run(|| #name(grant))
                }
            }
            ::silverback_guest::__private::__export_job!(Job with_types_in ::silverback_guest::__private::bindings);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            #[allow(dead_code)]
            fn fits(grant: ::silverback_guest::Grant) {
                let _ = ::silverback_guest::__private::run(|| #name(grant));
            }
        };
    })
}

/// Says what is wrong in words of the attribute, where the compiler would speak of generated code.
fn check(arguments: &Tokens, function: &ItemFn) -> Result<(), Error> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "#[job] takes no arguments"));
    }
    let signature = &function.sig;
    if let Some(keyword) = &signature.asyncness {
        return Err(Error::new_spanned(
            keyword,
            "a leader function is not async: waits block, and wake when it should stop",
        ));
    }
    if signature.inputs.len() != 1 || !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            signature,
            "a leader function takes one argument: `fn lead(grant: Grant) -> Result<T, RunError>`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(arguments: Tokens, function: Tokens) -> String {
        expand(&arguments, &syn::parse2(function).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn a_plain_function_is_taken() {
        let function = quote! { fn lead(grant: Grant) -> Result<(), RunError> { Ok(()) } };
        assert!(expand(&Tokens::new(), &syn::parse2(function).unwrap()).is_ok());
    }

    #[test]
    fn other_shapes_are_refused_in_plain_words() {
        let plain = quote! { fn lead(grant: Grant) {} };
        assert_eq!(refusal(quote! { now }, plain), "#[job] takes no arguments");
        assert!(
            refusal(Tokens::new(), quote! { async fn lead(grant: Grant) {} })
                .starts_with("a leader function is not async")
        );
        assert!(refusal(Tokens::new(), quote! { fn lead() {} }).starts_with("a leader function takes one argument"));
    }
}

#![allow(missing_docs, reason = "stub")]
pub mod cast_f16_f32 {
    use super::super::*;
    use crate::base::*;
    #[derive(Clone, Debug)]
    pub struct CastF16F32 {
        pub shape: Vec<usize>,
    }
    impl Kernel for CastF16F32 {
        fn name(&self) -> &'static str {
            "cast_f16_f32"
        }
        fn bindings(&self) -> Vec<Binding> {
            vec![]
        }
        fn launch(&self, _: &Caps) -> Result<Launch> {
            Err(Error::invalid("stub", ""))
        }
        fn cpu(&self, _: &mut [Tensor]) -> Result<()> {
            Ok(())
        }
        fn agreement(&self, _: &[Tensor]) -> Result<Vec<Agreement>> {
            Ok(vec![])
        }
        fn operations(&self) -> f64 {
            0.0
        }
    }
}
pub mod cast_f32_f16 {
    use super::super::*;
    use crate::base::*;
    #[derive(Clone, Debug)]
    pub struct CastF32F16 {
        pub shape: Vec<usize>,
    }
    impl Kernel for CastF32F16 {
        fn name(&self) -> &'static str {
            "cast_f32_f16"
        }
        fn bindings(&self) -> Vec<Binding> {
            vec![]
        }
        fn launch(&self, _: &Caps) -> Result<Launch> {
            Err(Error::invalid("stub", ""))
        }
        fn cpu(&self, _: &mut [Tensor]) -> Result<()> {
            Ok(())
        }
        fn agreement(&self, _: &[Tensor]) -> Result<Vec<Agreement>> {
            Ok(vec![])
        }
        fn operations(&self) -> f64 {
            0.0
        }
    }
}
pub mod conv2d_f16 {
    use super::super::*;
    use crate::base::*;
    #[derive(Clone, Debug)]
    pub struct Conv2dF16 {
        pub x: [usize; 4],
        pub w: [usize; 4],
        pub conv: Conv,
        pub relu: bool,
        pub native: bool,
    }
    impl Kernel for Conv2dF16 {
        fn name(&self) -> &'static str {
            "conv2d_f16"
        }
        fn bindings(&self) -> Vec<Binding> {
            vec![]
        }
        fn launch(&self, _: &Caps) -> Result<Launch> {
            Err(Error::invalid("stub", ""))
        }
        fn cpu(&self, _: &mut [Tensor]) -> Result<()> {
            Ok(())
        }
        fn agreement(&self, _: &[Tensor]) -> Result<Vec<Agreement>> {
            Ok(vec![])
        }
        fn operations(&self) -> f64 {
            0.0
        }
    }
}
pub mod matmul_f16 {
    use super::super::*;
    use crate::base::*;
    #[derive(Clone, Debug)]
    pub struct MatmulF16 {
        pub m: usize,
        pub n: usize,
        pub k: usize,
        pub relu: bool,
        pub native: bool,
    }
    impl Kernel for MatmulF16 {
        fn name(&self) -> &'static str {
            "matmul_f16"
        }
        fn bindings(&self) -> Vec<Binding> {
            vec![]
        }
        fn launch(&self, _: &Caps) -> Result<Launch> {
            Err(Error::invalid("stub", ""))
        }
        fn cpu(&self, _: &mut [Tensor]) -> Result<()> {
            Ok(())
        }
        fn agreement(&self, _: &[Tensor]) -> Result<Vec<Agreement>> {
            Ok(vec![])
        }
        fn operations(&self) -> f64 {
            0.0
        }
    }
}

mod smoke {
    #[test]
    fn t() {
        assert!(true)
    }
}

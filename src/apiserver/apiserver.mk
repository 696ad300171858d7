# sources of src/apiserver

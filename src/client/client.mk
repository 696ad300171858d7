# sources of src/client

# sources of src/object

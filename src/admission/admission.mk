# sources of src/admission

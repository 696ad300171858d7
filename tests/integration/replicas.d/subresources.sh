# Subresources and virtual resources.

t_api_subresources() {
    pki 1 2 3
    openssl req -new -newkey rsa:2048 -nodes -keyout "$dir/pki/one.key" -subj /CN=one >"$dir/pki/one.csr" 2>/dev/null
    driven subresources
}

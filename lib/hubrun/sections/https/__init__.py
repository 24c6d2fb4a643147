"""03_https: nginx, the certificate, DNS, and addresses below the domain."""

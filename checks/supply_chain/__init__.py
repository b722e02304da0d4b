"""What the project is made of: bills of materials, known vulnerabilities, secrets in the Git history."""

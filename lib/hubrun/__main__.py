from hubrun.cli.main import main

main()
